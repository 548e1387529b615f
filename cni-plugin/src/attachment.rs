//! What an attachment is called: everything a lost ADD left behind is found from it. From [`crate::request`]; to every
//! verb. Pure.

use std::fmt;

/// One interface of one container: the key of everything this plugin keeps.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Attachment {
    /// `CNI_CONTAINERID`.
    pub(crate) container: String,
    /// `CNI_IFNAME`.
    pub(crate) interface: String,
}

/// Host-side devices of pods start with this.
const DEVICE_PREFIX: &str = "pod";
/// Hexadecimal digits after it: together the longest name a device may have.
const DEVICE_DIGITS: usize = 12;

impl Attachment {
    /// The name of the host-side device: the same on every call, different for every attachment.
    pub(crate) fn device(&self) -> String {
        format!("{DEVICE_PREFIX}{:012x}", self.hash() >> 16)
    }

    /// Whether a device name is one that [`Self::device`] makes.
    pub(crate) fn is_device(name: &str) -> bool {
        name.strip_prefix(DEVICE_PREFIX)
            .is_some_and(|digits| digits.len() == DEVICE_DIGITS && digits.bytes().all(|b| b.is_ascii_hexdigit()))
    }

    /// The pod's hardware address unless the runtime asks for one: locally administered, stable for the attachment.
    pub(crate) fn mac(&self) -> [u8; 6] {
        let [_, _, _, a, b, c, d, e] = self.hash().rotate_left(32).to_be_bytes();
        [0x0a, a, b, c, d, e]
    }

    /// A number for locks.
    pub(crate) fn lock_offset(&self) -> i64 {
        i64::try_from(self.hash() >> 2).unwrap_or(i64::MAX)
    }

    /// FNV-1a: it must stay the same over releases, and names no secret.
    fn hash(&self) -> u64 {
        let bytes = self.container.bytes().chain([0]).chain(self.interface.bytes());
        let hash =
            bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        // FNV mixes its high bits poorly for short inputs; this finishes it.
        let mixed = (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed ^ (mixed >> 29)
    }
}

impl fmt::Display for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of container {}", self.interface, self.container)
    }
}

#[cfg(test)]
mod tests {
    use super::Attachment;

    #[test]
    fn names_are_stable_and_differ() {
        let one = Attachment { container: "a1".into(), interface: "eth0".into() };
        let two = Attachment { container: "a1".into(), interface: "eth1".into() };
        assert_eq!(one.device(), one.device());
        assert_ne!(one.device(), two.device());
        assert_ne!(one.mac(), two.mac());
        assert_eq!(one.device().len(), 15);
        assert!(Attachment::is_device(&one.device()));
        assert!(!Attachment::is_device("podman0") && !Attachment::is_device("skep0"));
        assert_eq!(one.mac()[0] & 3, 2, "locally administered, not multicast");
    }
}
