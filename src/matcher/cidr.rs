//! `cidr`: a network of IP addresses, `10.0.0.0/24` or `2001:db8::/32` (RFC 4632, RFC 4291).

use std::fmt;
use std::net::IpAddr;

/// A network, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    address: IpAddr,
    /// How many of the leading bits count.
    bits: u8,
}

impl Cidr {
    /// Reads a network.
    ///
    /// # Errors
    /// It is no address, or the number of bits is none or too large.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr =
            address.parse().map_err(|_| "an IP address is wanted, such as 10.0.0.0/24 or 2001:db8::/32")?;
        let all = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => all,
            Some(bits) => {
                let digits = !bits.is_empty() && bits.bytes().all(|byte| byte.is_ascii_digit());
                bits.parse().ok().filter(|bits| digits && *bits <= all).ok_or(if all == 32 {
                    "the number of bits is 0 to 32"
                } else {
                    "the number of bits is 0 to 128"
                })?
            }
        };
        Ok(Cidr { address, bits })
    }

    /// Whether a text is an address of this network.
    pub fn contains(&self, text: &str) -> bool {
        match (self.address, text.parse()) {
            (IpAddr::V4(network), Ok(IpAddr::V4(address))) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.bits)).unwrap_or(0);
                u32::from(network) & mask == u32::from(address) & mask
            }
            (IpAddr::V6(network), Ok(IpAddr::V6(address))) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.bits)).unwrap_or(0);
                u128::from(network) & mask == u128::from(address) & mask
            }
            _ => false,
        }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_its_addresses() {
        for (network, address, inside) in [
            ("10.0.0.0/24", "10.0.0.255", true),
            ("10.0.0.0/24", "10.0.1.0", false),
            ("10.0.0.77/24", "10.0.0.1", true),
            ("0.0.0.0/0", "255.1.2.3", true),
            ("10.1.2.3", "10.1.2.3", true),
            ("10.1.2.3/32", "10.1.2.4", false),
            ("2001:db8::/32", "2001:db8:1::1", true),
            ("::/0", "1.2.3.4", false),
            ("10.0.0.0/8", "ten", false),
        ] {
            assert_eq!(Cidr::parse(network).unwrap().contains(address), inside, "{network} {address}");
        }
        for text in ["10.0.0.0/33", "::/129", "10.0.0/24", "x", "10.0.0.0/", "10.0.0.0/+8", "10.0.0.0/-1"] {
            assert!(Cidr::parse(text).is_err(), "{text}");
        }
    }
}
