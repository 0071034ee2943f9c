//! What is allowed and probably not meant.
//!
//! A fault stops the start; what stands here only makes an operator look twice: a timeout that one
//! lost heartbeat breaks, a grace that ends before a node can beat, a port that is open to all.

use systole_core::Span;
use systole_core::auth::Mode;
use systole_core::config::{Rule, Settings};

use super::{Auth, Events, Setup};

/// Everything about a setup that deserves a second look, each with the way out.
pub fn warnings(setup: &Setup) -> Vec<String> {
    let plan = &setup.plan;
    let exposed = setup.exposed().map(|address| {
        format!(
            "INSECURE: {address} is open to other machines and no key is needed: \
             whoever reaches it is believed; use a loopback address unless you trust that network"
        )
    });
    let overheard = setup.overheard().map(|address| {
        format!(
            "http {address} asks for tokens and speaks plain HTTP: whoever is on the way can read them and use them; \
             set tls_cert and tls_key under [http], or listen on loopback behind a proxy that speaks TLS"
        )
    });
    exposed
        .chain(overheard)
        .chain(of_auth(&setup.auth))
        .chain(nowhere_to_keep(setup))
        .chain(of_settings("[defaults]", &plan.default))
        .chain(plan.groups.iter().filter(|rule| rule.settings != plan.default).flat_map(of_rule))
        .chain(plan.groups.iter().filter_map(short_grace))
        .collect()
}

/// How something is to be kept, and no place for it.
fn nowhere_to_keep(setup: &Setup) -> Option<String> {
    let usual = Setup::default();
    let Events { retain, retain_max, .. } = usual.events;
    let meant =
        setup.snapshot != usual.snapshot || (setup.events.retain, setup.events.retain_max) != (retain, retain_max);
    (meant && setup.state_dir.is_none()).then(|| {
        "[snapshot] and retain of [events] are about the state directory, and there is none, so nothing outlives the \
         process; set state_dir or start with --state-dir"
            .to_owned()
    })
}

fn of_auth(auth: &Auth) -> Option<String> {
    match auth.mode {
        Mode::Off if !auth.keys.is_empty() => Some(
            "[auth]: keys are named and nobody looks at tags, as mode is off; set it to \"permissive\" to see who has \
             a key, and to \"enforce\" to believe nobody else"
                .to_owned(),
        ),
        Mode::Permissive => Some(
            "[auth]: mode permissive believes everybody; set it to \"enforce\" when the messages that are waived, see \
             `systole status`, become no more"
                .to_owned(),
        ),
        Mode::Off | Mode::Enforce => None,
    }
}

fn of_rule(rule: &Rule) -> Vec<String> {
    of_settings(&format!("group {:?}", rule.name), &rule.settings)
}

fn of_settings(whose: &str, settings: &Settings) -> Vec<String> {
    let mut warnings = Vec::new();
    if let Some(interval) = judged_interval(settings) {
        let patience = settings.detector.patience(&settings.detector.start(interval), interval);
        if patience <= interval * 2 {
            warnings.push(format!(
                "{whose}: one lost heartbeat makes a node suspect, as {} waits {patience} at an interval of \
                 {interval}; let it wait longer than {}",
                settings.detector,
                interval * 2
            ));
        }
    }
    if settings.confirm.of(Settings::UNKNOWN_INTERVAL).is_zero() {
        warnings.push(format!(
            "{whose}: confirm {} fails a node the moment it is suspect; set it to an interval or more",
            settings.confirm
        ));
    }
    warnings
}

/// A listed node's first heartbeat can be a whole interval away, and may be lost.
fn short_grace(rule: &Rule) -> Option<String> {
    let interval = rule.settings.interval?;
    let short = !rule.nodes.is_empty() && rule.settings.grace < interval * 2;
    short.then(|| {
        format!(
            "group {:?}: grace {} can fail a listed node that is up, as heartbeats come every {interval}; \
             set it above {}",
            rule.name,
            rule.settings.grace,
            interval * 2
        )
    })
}

/// The interval to hold a timeout against: the stated one, or any if the timeout grows with it.
fn judged_interval(settings: &Settings) -> Option<Span> {
    const SOME: Span = Span::from_secs(1);
    let grows = settings.detector.bound(SOME) != settings.detector.bound(SOME * 2);
    settings.interval.or(grows.then_some(SOME))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{read, read_insecure};

    fn of(text: &str) -> Vec<String> {
        warnings(&read(text).expect(text))
    }

    #[test]
    fn the_defaults_need_no_second_look() {
        assert_eq!(warnings(&Setup::default()), Vec::<String>::new());
    }

    #[test]
    fn a_timeout_that_one_lost_heartbeat_breaks_is_warned_of_once() {
        let text = "[defaults]\ndetector = \"fixed:timeout=2x\"\n[[group]]\nname = \"heir\"\n[[group]]\nname = \"own\"\n\
                    detector = \"fixed:timeout=3s\"\ninterval = \"2s\"\n";
        let warnings = of(text);
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        assert!(warnings[0].starts_with("[defaults]: one lost heartbeat"), "{}", warnings[0]);
        assert!(warnings[1].starts_with("group \"own\": one lost heartbeat"), "{}", warnings[1]);
        assert!(
            warnings[1].contains("waits 3 s at an interval of 2 s; let it wait longer than 4 s"),
            "{}",
            warnings[1]
        );
    }

    #[test]
    fn a_timeout_in_plain_time_is_not_held_against_an_unknown_interval() {
        assert_eq!(of("[defaults]\ndetector = \"fixed:timeout=5s\"\n"), Vec::<String>::new());
    }

    #[test]
    fn no_time_to_confirm_and_too_little_grace_are_warned_of() {
        let warnings =
            of("[[group]]\nname = \"a\"\nnodes = \"a-1\"\ninterval = \"1m\"\ngrace = \"30s\"\nconfirm = \"0s\"\n");
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        assert!(warnings[0].contains("confirm 0ms"), "{}", warnings[0]);
        assert!(warnings[1].contains("grace 30 s"), "{}", warnings[1]);
    }

    #[test]
    fn what_is_to_be_kept_nowhere_is_warned_of() {
        for text in ["[snapshot]\nevery = \"1s\"\n", "[events]\nretain = \"1d\"\n"] {
            let warnings = of(text);
            assert_eq!(warnings.len(), 1, "{warnings:?}");
            assert!(warnings[0].contains("--state-dir"), "{}", warnings[0]);
            assert_eq!(of(&format!("state_dir = \"/var/lib/systole\"\n{text}")), Vec::<String>::new());
        }
        assert_eq!(of("[events]\nkeep = 7\n"), Vec::<String>::new());
    }

    #[test]
    fn every_address_that_others_can_reach_is_warned_of() {
        let setup =
            read_insecure("[listen]\nudp = [\"0.0.0.0:1\", \"127.0.0.1:2\"]\nhttp = \"[::]:3\"\n").expect("told so");
        let warnings = warnings(&setup);
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        assert!(warnings[0].contains("0.0.0.0:1") && warnings[1].contains("[::]:3"), "{warnings:?}");
    }

    #[test]
    fn tokens_open_the_way_for_questions_and_are_warned_of_without_tls() {
        let text = "[listen]\nhttp = \"0.0.0.0:1\"\n[http]\ntokens = \"tokens\"\n";
        let plain = of(text);
        assert!(plain.len() == 1 && plain[0].contains("speaks plain HTTP"), "{plain:?}");
        assert_eq!(of(&format!("{text}tls_cert = \"c\"\ntls_key = \"k\"\n")), Vec::<String>::new());
        assert_eq!(of("[http]\ntokens = \"tokens\"\n"), Vec::<String>::new(), "nobody is on the way to loopback");
    }
}
