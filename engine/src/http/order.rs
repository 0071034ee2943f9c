//! Which of a million nodes come first, without ever holding more than two pages of them.
//!
//! A row's place in an order is a number and, among equals, its name; names differ, so every row
//! has one place and the next page begins behind the last row of this one. What a node doesn't
//! have (a load that was never reported) comes last, whichever way the order goes.

use std::cmp::Ordering;
use std::fmt;

use crate::query::Row;

/// By what to sort, and whether the greatest come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Order {
    by: By,
    descending: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Name,
    Load,
    LastArrival,
    Since,
    Loss,
}

/// A row's place in an order, comparable only within the same one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) number: u64,
    pub(super) name: String,
}

/// The first rows of an order that come after a given place.
#[derive(Debug)]
pub(super) struct First {
    order: Order,
    after: Option<Place>,
    most: usize,
    rows: Vec<(u64, Row)>,
}

impl By {
    const ALL: [Self; 5] = [Self::Name, Self::Load, Self::LastArrival, Self::Since, Self::Loss];

    const fn name(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Load => "load",
            Self::LastArrival => "last_arrival",
            Self::Since => "since",
            Self::Loss => "loss",
        }
    }

    /// Greater for what is greater; nothing for what isn't known.
    fn number(self, row: &Row) -> Option<u64> {
        let evidence = &row.evidence;
        match self {
            Self::Name => Some(0),
            Self::Load => row.load.map(ascending),
            Self::LastArrival => evidence.last_arrival.map(|at| at.nanos()),
            Self::Since => Some(row.since.nanos()),
            Self::Loss => {
                evidence.last_arrival.map(|_| ascending(f32::from(evidence.lost) / f32::from(evidence.window.max(1))))
            }
        }
    }
}

/// The bits of floats that aren't negative sort as the floats do; the sum makes -0 a 0.
fn ascending(float: f32) -> u64 {
    u64::from((float + 0.0).to_bits())
}

impl Order {
    pub(super) const NAMES: &'static str =
        "name, load, last_arrival, since or loss, with - before it for the greatest first";

    pub(super) fn from_name(text: &str) -> Option<Self> {
        let (descending, name) = text.strip_prefix('-').map_or((false, text), |name| (true, name));
        By::ALL.into_iter().find(|by| by.name() == name).map(|by| Self { by, descending })
    }

    /// Lower for what comes earlier.
    fn number(self, row: &Row) -> u64 {
        const LAST: u64 = u64::MAX;
        match self.by.number(row) {
            None => LAST,
            Some(number) if self.descending => LAST - 1 - number.min(LAST - 1),
            Some(number) => number,
        }
    }

    fn compare(self, (a, a_name): (u64, &str), (b, b_name): (u64, &str)) -> Ordering {
        let names = a_name.cmp(b_name);
        a.cmp(&b).then(if self.by == By::Name && self.descending { names.reverse() } else { names })
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.descending { "-" } else { "" }, self.by.name())
    }
}

impl First {
    /// Will keep the first `most` rows behind `after`.
    pub(super) const fn new(order: Order, after: Option<Place>, most: usize) -> Self {
        Self { order, after, most, rows: Vec::new() }
    }

    pub(super) fn offer(&mut self, row: Row) {
        let number = self.order.number(&row);
        let behind = |after: &Place| self.order.compare((number, &row.node), (after.number, &after.name)).is_gt();
        if !self.after.as_ref().is_none_or(behind) {
            return;
        }
        self.rows.push((number, row));
        if self.rows.len() >= 2 * self.most {
            self.prune();
        }
    }

    /// The kept rows in their order, and where the next page begins if there is more.
    pub(super) fn page(mut self, limit: usize) -> (Vec<Row>, Option<Place>) {
        self.prune();
        let more = self.rows.len() > limit;
        self.rows.truncate(limit);
        let last = self.rows.last().filter(|_| more);
        let next = last.map(|(number, row)| Place { number: *number, name: row.node.clone() });
        (self.rows.into_iter().map(|(_, row)| row).collect(), next)
    }

    fn prune(&mut self) {
        let order = self.order;
        self.rows.sort_unstable_by(|(a, x), (b, y)| order.compare((*a, &x.node), (*b, &y.node)));
        self.rows.truncate(self.most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer;
    use proptest::prelude::*;
    use systole_core::{Backlog, Datagram, Instant, Monitor, NodeIx};

    fn rows(loads: &[Option<u8>]) -> Vec<Row> {
        let now = Instant::from_nanos(1);
        let mut monitor = Monitor::new(Default::default(), now);
        for (i, load) in loads.iter().enumerate() {
            let load = load.map_or_else(String::new, |load| format!(" load={}", f32::from(load) / 4.0));
            let line = format!("hb n{i:03}{load}");
            let datagram = Datagram::new(line.as_bytes(), now);
            monitor.turn(now, &[datagram], Backlog::Drained, &mut ());
        }
        (0..loads.len()).map(|i| answer::row(&monitor, &monitor.node(NodeIx::new(i)).unwrap())).collect()
    }

    fn pages(order: Order, rows: &[Row], limit: usize) -> Vec<String> {
        let (mut names, mut after) = (Vec::new(), None);
        loop {
            let mut first = First::new(order, after, limit + 1);
            rows.iter().for_each(|row| first.offer(row.clone()));
            let (page, next) = first.page(limit);
            assert!(page.len() == limit || next.is_none());
            names.extend(page.into_iter().map(|row| row.node));
            match next {
                Some(next) => after = Some(next),
                None => return names,
            }
        }
    }

    proptest! {
        #[test]
        fn pages_of_any_size_join_to_the_sorted_whole(
            loads in prop::collection::vec(prop::option::of(0..5u8), 1..60),
            limit in 1..20usize,
            descending: bool,
            by_name: bool,
        ) {
            let rows = rows(&loads);
            let name = format!("{}{}", if descending { "-" } else { "" }, if by_name { "name" } else { "load" });
            let order = Order::from_name(&name).unwrap();
            let mut model: Vec<usize> = (0..loads.len()).collect();
            model.sort_by_key(|i| match (by_name, descending, loads[*i]) {
                (true, false, _) => (0, *i as i64),
                (true, true, _) => (0, -(*i as i64)),
                (false, _, None) => (i64::MAX, *i as i64),
                (false, false, Some(load)) => (i64::from(load), *i as i64),
                (false, true, Some(load)) => (-i64::from(load), *i as i64),
            });
            let model: Vec<String> = model.iter().map(|i| format!("n{i:03}")).collect();
            prop_assert_eq!(pages(order, &rows, limit), model);
        }
    }

    #[test]
    fn an_order_reads_back_as_it_is_written() {
        for by in By::ALL {
            for descending in [false, true] {
                let order = Order { by, descending };
                assert_eq!(Order::from_name(&order.to_string()), Some(order));
            }
        }
        assert!(["", "-", "--load", "Load", "age"].iter().all(|text| Order::from_name(text).is_none()));
    }

    #[test]
    fn never_more_than_two_pages_are_held() {
        let rows = rows(&[None; 100]);
        let mut first = First::new(Order::from_name("-name").unwrap(), None, 5);
        for row in rows {
            first.offer(row);
            assert!(first.rows.len() < 10);
        }
    }
}
