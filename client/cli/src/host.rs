//! Which host this is: read from the operating system, for agents at loopback addresses. Knows nothing of agents.

use std::fs;

use ebb_protocol::ids::HostId;
use ring::hmac;

/// Where systemd and D-Bus keep the machine's id: made once, and kept when the machine starts again.
const MACHINE_ID: [&str; 2] = ["/etc/machine-id", "/var/lib/dbus/machine-id"];

/// Letters of a machine's id.
const MACHINE_ID_LEN: usize = 32;

/// The id of this host; `None` where the system keeps none, as in most containers.
pub(crate) fn id() -> Option<HostId> {
    MACHINE_ID.iter().find_map(|path| derive(&fs::read_to_string(path).ok()?))
}

/// A machine's id is not to be told to others (machine-id(5)), so the host's is derived from it one way.
fn derive(machine: &str) -> Option<HostId> {
    let machine = machine.trim();
    if machine.len() != MACHINE_ID_LEN || !machine.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, machine.as_bytes()), b"ebbtide host");
    derived.as_ref().first_chunk().map(|bytes| HostId(u128::from_be_bytes(*bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_one_id_and_another_host_another() {
        let [one, other] =
            ["0123456789abcdef0123456789abcdef\n", "1123456789abcdef0123456789abcdef\n"].map(derive);
        assert!(one.is_some() && other.is_some() && one != other);
        assert_eq!(one, derive("0123456789abcdef0123456789abcdef"));
        let said = one.expect("it was derived").0;
        assert_ne!(said, 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef, "it is not the machine's own");
    }

    #[test]
    fn a_machine_without_an_id_is_no_host() {
        for none in ["", "\n", "uninitialized\n", "0123456789abcdef", "g123456789abcdef0123456789abcdef"] {
            assert_eq!(derive(none), None, "{none:?}");
        }
    }
}
