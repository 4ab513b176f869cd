//! Clickstream events as JSON, as a shop's website sends them: about 570 bytes, of which some repeat in every event and
//! some in none. The same seed gives the same events.

use std::fmt::Write;

use ebb_protocol::random::Random;

/// How many users there are. The n-th most active one is seen about 1/n as often as the first.
const USERS: f64 = 2_000_000.0;
/// Properties of an event at most.
const PROPERTIES_MAX: u64 = 8;
/// When the first event is, in milliseconds since 1970.
const EPOCH_MS: u64 = 1_767_225_600_000;

const KINDS: [&str; 6] = ["page_view", "click", "scroll", "add_to_cart", "search", "purchase"];
const PAGES: [&str; 8] = ["home", "category", "product", "cart", "checkout", "search", "account", "help"];
const COUNTRIES: [&str; 8] = ["US", "DE", "IN", "BR", "JP", "FR", "GB", "NG"];
const REFERRERS: [&str; 4] = ["https://www.google.com/", "https://duckduckgo.com/", "direct", "newsletter"];
const SYSTEMS: [&str; 5] = [
    "Windows NT 10.0; Win64; x64",
    "Macintosh; Intel Mac OS X 10_15_7",
    "X11; Linux x86_64",
    "Linux; Android 14; Pixel 8",
    "iPhone; CPU iPhone OS 17_5 like Mac OS X",
];
const PROPERTIES: [&str; 8] =
    ["campaign", "variant", "position", "price", "currency", "quantity", "coupon", "list"];

/// Events, one after the other.
pub(super) struct Events {
    random: Random,
    count: u64,
}

impl Events {
    pub(super) fn new(seed: u64) -> Self {
        Self { random: Random::from_seed(seed), count: 0 }
    }

    /// The next event: the user as the key, and the event as the value.
    pub(super) fn next(&mut self) -> (String, String) {
        self.count += 1;
        let key = format!("user-{:08}", self.user());
        let mut value = String::with_capacity(768);
        self.write(&key, &mut value).expect("a string takes whatever is written");
        (key, value)
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a user's number is small"
    )]
    fn user(&self) -> u64 {
        let uniform = self.random.next_u64() as f64 / u64::MAX as f64;
        USERS.powf(uniform) as u64
    }

    fn write(&self, user: &str, to: &mut String) -> std::fmt::Result {
        let random = &self.random;
        let id = random.next_u128();
        let at = EPOCH_MS + self.count * 3 + random.below(3);
        let (kind, page) = (self.one_of(&KINDS), self.one_of(&PAGES));
        write!(to, r#"{{"event_id":"{id:032x}","timestamp":{at},"type":"{kind}","user_id":"{user}""#)?;
        write!(to, r#","session_id":"{:016x}","page":{{"name":"{page}""#, random.next_u64())?;
        write!(to, r#","url":"https://shop.example/{page}/{}""#, random.below(50_000))?;
        write!(to, r#","referrer":"{}","load_ms":{}}}"#, self.one_of(&REFERRERS), random.below(4_000))?;
        let version = 110 + random.below(20);
        write!(to, r#","device":{{"user_agent":"Mozilla/5.0 ({}) "#, self.one_of(&SYSTEMS))?;
        write!(to, r#"AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{version}.0.0.0 Safari/537.36""#)?;
        write!(to, r#","width":{},"touch":{}}}"#, 320 + 16 * random.below(100), random.chance(0.4))?;
        let (lat, lon) = (random.below(180_000), random.below(360_000));
        write!(to, r#","geo":{{"country":"{}","lat":{lat}e-3,"lon":{lon}e-3}}"#, self.one_of(&COUNTRIES))?;
        to.push_str(r#","properties":{"#);
        for (number, name) in (0..random.below(PROPERTIES_MAX + 1)).zip(PROPERTIES) {
            let comma = if number > 0 { "," } else { "" };
            write!(to, r#"{comma}"{name}":"{:x}""#, random.below(1 << 32))?;
        }
        to.push_str("}}");
        Ok(())
    }

    fn one_of<'a>(&self, names: &[&'a str]) -> &'a str {
        let count = names.len() as u64;
        usize::try_from(self.random.below(count)).ok().and_then(|at| names.get(at)).unwrap_or(&"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_json_of_the_promised_size_and_follow_from_the_seed() {
        let (mut events, mut again) = (Events::new(7), Events::new(7));
        let mut bytes = 0;
        for _ in 0..1_000 {
            let (key, value) = events.next();
            let parsed: serde_json::Value = serde_json::from_str(&value).expect("JSON");
            assert_eq!(parsed["user_id"], key.as_str());
            bytes += value.len();
            assert_eq!((key, value), again.next());
        }
        assert!((547..607).contains(&(bytes / 1_000)), "{} bytes an event", bytes / 1_000);
    }
}
