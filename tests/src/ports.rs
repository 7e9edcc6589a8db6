//! Ports for servers that must come back under the same address.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use rand::Rng;

use crate::Error;

/// A free port that the system does not hand out by itself. A server that is away for a moment would otherwise lose its
/// port to an outgoing connection, in the end to one that its own clients made to it.
///
/// # Errors
/// When none is found.
pub fn lasting() -> Result<SocketAddr, Error> {
    let (low, high) = outside(&ephemeral_range());
    let mut rng = rand::rng();
    for _ in 0..1000 {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, rng.random_range(low..=high)));
        if TcpListener::bind(address).is_ok() {
            return Ok(address);
        }
    }
    Err(Error::Unexpected(format!("no free port between {low} and {high}")))
}

fn ephemeral_range() -> String {
    // where the system does not tell, the usual
    fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_else(|_| "32768 60999".to_owned())
}

/// The wider of the two ranges beside the system's own; all unprivileged ports where nothing is left beside it.
fn outside(range: &str) -> (u16, u16) {
    const FIRST: u16 = 10_000;
    let mut bounds = range.split_whitespace().map_while(|word| word.parse::<u16>().ok());
    let (low, high) = (bounds.next().unwrap_or(32768), bounds.next().unwrap_or(60999));
    let (below, above) = (low.saturating_sub(FIRST), u16::MAX - high);
    match below.max(above) {
        0..1000 => (FIRST, u16::MAX),
        _ if below >= above => (FIRST, low - 1),
        _ => (high + 1, u16::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::outside;

    #[test]
    fn lasting_ports_are_taken_from_beside_the_system_s_range() {
        assert_eq!(outside("32768\t60999\n"), (10_000, 32_767));
        assert_eq!(outside("10240 40000"), (40_001, 65_535));
        assert_eq!(outside("1024 65535"), (10_000, 65_535));
        assert_eq!(outside("nonsense"), (10_000, 32_767));
    }
}
