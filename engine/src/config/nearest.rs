//! `dtector`: did you mean `detector`?
//!
//! The number of letters to insert, drop, exchange or swap with their neighbour until one word is
//! the other, up to a third of the word. Further away it would be guessing, and a wrong guess is
//! worse than the list of what there is.

/// The known word that was most likely meant by `word`.
pub(super) fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let letters: Vec<char> = word.chars().take(LONGEST + 1).collect();
    if letters.len() > LONGEST {
        return None;
    }
    let allowed = (letters.len() / 3).max(1);
    let (distance, nearest) = known.iter().map(|known| (distance(&letters, known), *known)).min()?;
    (distance <= allowed).then_some(nearest)
}

/// No key is anywhere near so long, and the work grows with the length.
const LONGEST: usize = 40;

/// Optimal string alignment: Damerau's distance where no letter is touched twice.
fn distance(from: &[char], to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut before = vec![0; to.len() + 1];
    let mut last: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in to.iter().enumerate() {
            let exchanged = last[j] + usize::from(a != b);
            let mut best = exchanged.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *a == to[j - 1] && from[i - 1] == *b {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 5] = ["detector", "confirm", "interval", "grace", "max_nodes"];

    #[test]
    fn a_slip_of_the_finger_is_understood() {
        for (word, meant) in [
            ("dtector", "detector"),
            ("detecotr", "detector"),
            ("conffirm", "confirm"),
            ("Interval", "interval"),
            ("max-nodes", "max_nodes"),
            ("gracee", "grace"),
        ] {
            assert_eq!(nearest(word, &KNOWN), Some(meant), "{word}");
        }
    }

    #[test]
    fn a_different_word_is_not_guessed() {
        for word in ["", "timeout", "gr", "x", "nodes", &"detector".repeat(9)] {
            assert_eq!(nearest(word, &KNOWN), None, "{word}");
        }
    }
}
