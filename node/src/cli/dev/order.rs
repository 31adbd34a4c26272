//! What can be typed at a running cluster.

use std::str::FromStr;

/// An order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Stop everything.
    Quit,
    /// Kill the node with this number, counted from 1, without warning.
    Kill(usize),
    /// Start the node with this number again.
    Restart(usize),
}

/// The line is no order.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{line:?} is not an order: `k N` kills node N, `r N` starts it again, `q` stops all")]
pub(super) struct UnknownOrder {
    line: String,
}

impl FromStr for Order {
    type Err = UnknownOrder;

    fn from_str(line: &str) -> Result<Self, UnknownOrder> {
        let unknown = || UnknownOrder { line: line.chars().take(40).collect() };
        let number = |word: &str| word.trim_start_matches('n').parse().map_err(|_| unknown());
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            ["q"] => Ok(Order::Quit),
            ["k", word] => number(word).map(Order::Kill),
            ["r", word] => number(word).map(Order::Restart),
            _ => Err(unknown()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_letters_with_a_number() {
        assert_eq!("q".parse(), Ok(Order::Quit));
        assert_eq!(" k 2\r".parse(), Ok(Order::Kill(2)));
        assert_eq!("r n13".parse(), Ok(Order::Restart(13)));
    }

    #[test]
    fn anything_else_is_answered_with_the_orders_that_there_are() {
        for line in ["", "k", "k x", "k -1", "kill 2", "q now", "r 1 2"] {
            let error = line.parse::<Order>().unwrap_err();
            assert!(error.to_string().contains("`k N` kills"), "{error}");
        }
    }
}
