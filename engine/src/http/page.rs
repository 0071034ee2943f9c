//! `GET /`: the monitor and its groups for a person with a browser. One file, no script, nothing fetched.

use std::fmt::Write;
use std::sync::Arc;

use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY};
use axum::response::{Html, IntoResponse};
use systole_core::{Liveness, Span};

use super::App;
use super::problem::Refused;
use crate::model::{Counts, Group, Problem, Status};
use crate::show;

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;margin:2rem;color-scheme:light dark}\
    table{border-collapse:collapse;margin:1rem 0}\
    th,td{padding:.2rem .8rem;text-align:right;border-bottom:1px solid #8884;font-variant-numeric:tabular-nums}\
    th:first-child,td:first-child{text-align:left}";

/// The status and the groups as a page.
#[utoipa::path(
    get,
    path = "/",
    operation_id = "page",
    tag = "monitor",
    responses(
        (status = 200, description = "A plain page for people.", body = String, content_type = "text/html"),
        (status = 503, description = "A shard didn't answer in time.", body = Problem),
    ),
)]
pub(super) async fn index(State(app): State<Arc<App>>) -> Result<impl IntoResponse, Refused> {
    let status = app.status().await?;
    let groups = show::groups(app.groups(None).await?, app.control.clock.read());
    let headers =
        [(CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'"), (CACHE_CONTROL, "no-store")];
    Ok((headers, Html(html(&status, &groups))))
}

fn html(status: &Status, groups: &[Group]) -> String {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><meta http-equiv=\"refresh\" content=\"10\">\n\
         <title>Systole</title><style>{STYLE}</style>\n<h1>Systole</h1>\n\
         <p>Version {}, up {}. {:.0} heartbeats/s, {} datagrams dropped, {} events.</p>\n\
         <table><tr><th>group</th>{}<th>loss</th><th>lateness p99</th></tr>\n",
        escape(&status.version),
        Span::from_secs(status.uptime_ms / 1_000),
        status.heartbeats_per_second,
        status.datagrams_dropped_total,
        status.events_last,
        Liveness::ALL.map(|liveness| format!("<th>{}</th>", liveness.name())).concat(),
    );
    for group in groups {
        // Writing to a string can't fail.
        let _ = writeln!(
            page,
            "<tr><td>{}</td>{}<td>{:.2} %</td><td>{:.1} ms</td></tr>",
            escape(&group.group),
            cells(&group.nodes),
            group.loss * 100.0,
            group.lateness_ms.p99,
        );
    }
    let _ = writeln!(page, "<tr><th>all</th>{}<td></td><td></td></tr></table>", cells(&status.nodes));
    page + "<p><a href=\"/v1/nodes?state=suspect,failed\">suspect and failed nodes</a>, \
            <a href=\"/v1/events\">events</a>, <a href=\"/v1/status\">status</a>, <a href=\"/metrics\">metrics</a>, \
            <a href=\"/v1/openapi.json\">interface</a></p>\n</html>\n"
}

fn cells(counts: &Counts) -> String {
    Liveness::ALL.map(|liveness| format!("<td>{}</td>", counts.get(liveness))).concat()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[test]
    fn what_the_network_named_is_never_markup() {
        assert_eq!(escape("<b a=\"&\">"), "&lt;b a=&quot;&amp;&quot;&gt;");
        let status = show::status(&[], Span::from_secs(5), 0, Clock::start().read());
        let page = html(&status, &[]);
        assert!(page.contains("up 5 s") && !page.contains("http:") && !page.contains("src=\"http"));
    }
}
