//! What a platform's token says, and whether it may say it now.

use super::bearer::{Bearer, Events, Role, player_of, token_of};
use super::{IdentityConfig, IdentityError};
use serde::Deserialize;

/// Events that one token names; whoever is at home in more is given `*`.
pub const EVENTS_MAX: usize = 64;
/// Bytes of `sub`, `iss` and `jti` each.
pub const NAME_BYTES_MAX: usize = 255;

/// The claims that are looked at; all others are passed over.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Claims {
    /// Whom the platform vouches for, in its own words.
    sub: Option<String>,
    /// Who issued it.
    iss: Option<String>,
    /// What it is meant for.
    aud: Option<Several>,
    /// When it ends, in seconds since 1970.
    exp: Option<f64>,
    /// When it begins.
    nbf: Option<f64>,
    /// Its own id.
    jti: Option<String>,
    /// What to call whom it is about.
    name: Option<String>,
    /// `player`, `host` or `ops`.
    role: Option<String>,
    /// The one event that it is good for.
    event: Option<String>,
    /// All events that it is good for.
    events: Option<Several>,
}

/// JWT lets a list of one be its only member.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Several {
    One(String),
    Many(Vec<String>),
}

impl Several {
    fn all(&self) -> &[String] {
        match self {
            Several::One(one) => std::slice::from_ref(one),
            Several::Many(many) => many,
        }
    }
}

impl Claims {
    /// Who bears the token, if it counts at `now_ms`.
    ///
    /// # Errors
    /// Why it does not.
    pub fn check(self, config: &IdentityConfig, now_ms: u64) -> Result<Bearer, IdentityError> {
        self.check_time(config, now_ms)?;
        let aud = self.aud.as_ref().map_or(&[][..], Several::all);
        if !aud.contains(&config.audience) {
            return Err(IdentityError::Audience);
        }
        let issuer = self.iss.clone().unwrap_or_default();
        if config.issuer.as_ref().is_some_and(|wanted| *wanted != issuer) {
            return Err(IdentityError::Issuer);
        }
        let role = match self.role.as_deref() {
            None | Some("player") => Role::Player,
            Some("host") => Role::Host,
            Some("ops") => Role::Ops,
            Some(_) => return Err(IdentityError::Claims),
        };
        let events = self.events()?;
        let fits = |name: &String| (1..=NAME_BYTES_MAX).contains(&name.len());
        let subject = self.sub.filter(fits).ok_or(IdentityError::Claims)?;
        let fits = |name: &str| name.len() <= NAME_BYTES_MAX;
        if !fits(&issuer) || self.jti.as_deref().is_some_and(|id| !fits(id)) {
            return Err(IdentityError::Claims);
        }
        let token = self.jti.map(|id| token_of(&issuer, &id));
        let player = Some(player_of(&issuer, &subject));
        Ok(Bearer { role, player, name: self.name, events, token, co_host: None, key: None })
    }

    fn check_time(&self, config: &IdentityConfig, now_ms: u64) -> Result<(), IdentityError> {
        let (now, leeway) = (now_ms as f64 / 1_000.0, config.leeway.as_secs_f64());
        let ends = self.exp.filter(|exp| exp.is_finite()).ok_or(IdentityError::Claims)?;
        if now >= ends + leeway {
            return Err(IdentityError::Expired);
        }
        if self.nbf.is_some_and(|begins| now + leeway < begins) {
            return Err(IdentityError::Early);
        }
        Ok(())
    }

    /// A token that names no event is good for none that is closed.
    fn events(&self) -> Result<Events, IdentityError> {
        let several = self.events.as_ref().map_or(&[][..], Several::all);
        let mut these = Vec::new();
        for event in self.event.iter().chain(several) {
            if event == "*" {
                return Ok(Events::All);
            }
            these.push(event.parse().map_err(|_| IdentityError::Claims)?);
        }
        if these.len() > EVENTS_MAX { Err(IdentityError::Claims) } else { Ok(Events::These(these)) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::KeySource;
    use super::*;
    use crdt_state::EventId;
    use serde_json::{Value, json};

    const NOW_MS: u64 = 1_000_000;

    fn check(claims: Value) -> Result<Bearer, IdentityError> {
        let mut config = IdentityConfig::new(KeySource::File("keys.json".into()));
        config.issuer = Some("https://id.example".to_owned());
        let claims: Claims = serde_json::from_value(claims).map_err(|_| IdentityError::Claims)?;
        claims.check(&config, NOW_MS)
    }

    fn with(name: &str, value: Value) -> Value {
        let mut claims = json!({
            "sub": "ada", "iss": "https://id.example", "aud": "starling", "exp": 2_000,
            "event": "00000000000000ff", "jti": "t1",
        });
        claims[name] = value;
        claims
    }

    #[test]
    fn the_documented_claims_make_a_bearer() {
        let bearer = check(with("name", json!("Ada"))).unwrap();
        assert_eq!(bearer.role, Role::Player);
        assert_eq!(bearer.name.as_deref(), Some("Ada"));
        assert_eq!(bearer.player, Some(player_of("https://id.example", "ada")));
        assert!(bearer.may_play(EventId(255)) && !bearer.may_play(EventId(1)));
        assert_eq!(bearer.token, Some(token_of("https://id.example", "t1")));
        assert_eq!(check(with("role", json!("host"))).map(|it| it.role), Ok(Role::Host));
        assert_eq!(check(with("events", json!(["*"]))).map(|it| it.events), Ok(Events::All));
        assert!(check(with("aud", json!(["other", "starling"]))).is_ok());
    }

    #[test]
    fn time_counts_with_a_leeway_on_both_sides() {
        assert!(check(with("exp", json!(970.5))).is_ok(), "thirty seconds of grace");
        assert_eq!(check(with("exp", json!(970))), Err(IdentityError::Expired));
        assert!(check(with("nbf", json!(1_030))).is_ok());
        assert_eq!(check(with("nbf", json!(1_031))), Err(IdentityError::Early));
    }

    #[test]
    fn what_is_missing_or_wrong_is_told_apart() {
        let nothing = Value::Null;
        assert_eq!(check(with("exp", nothing.clone())), Err(IdentityError::Claims));
        assert_eq!(check(with("sub", nothing.clone())), Err(IdentityError::Claims));
        assert_eq!(check(with("sub", json!(""))), Err(IdentityError::Claims));
        assert_eq!(check(with("sub", json!(7))), Err(IdentityError::Claims));
        assert_eq!(check(with("role", json!("root"))), Err(IdentityError::Claims));
        assert_eq!(check(with("event", json!("482913"))), Err(IdentityError::Claims));
        assert_eq!(check(with("aud", nothing.clone())), Err(IdentityError::Audience));
        assert_eq!(check(with("aud", json!(["other"]))), Err(IdentityError::Audience));
        assert_eq!(check(with("iss", nothing)), Err(IdentityError::Issuer));
        let many: Vec<String> = (0..65).map(|n| format!("{n:016x}")).collect();
        assert_eq!(check(with("events", json!(many))), Err(IdentityError::Claims));
    }
}
