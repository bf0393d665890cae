//! Who is let in at a WebSocket, and who may not stay.

use async_graphql::Value;

use crate::config::Secret;
use crate::credentials::Offered;
use crate::error::Code;
use crate::error::Error;
use crate::graphql::ws::End;
use crate::graphql::ws::close;
use crate::service::access::Lapse;

/// The key in the payload of `connection_init`: `{"authorization": "Bearer …"}` or `{"token": "…"}`.
#[must_use]
pub fn offered(payload: &Value) -> Offered {
    let Value::Object(members) = payload else { return Offered::Nothing };
    let named = |wanted: &str| {
        let member = members.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
        member.map(|(_, value)| value).filter(|value| **value != Value::Null)
    };
    match (named("authorization"), named("token")) {
        (Some(Value::String(text)), _) => Offered::bearer(text.as_bytes()),
        (None, Some(Value::String(text))) => Offered::Token(Secret::new(text.as_str())),
        (None, None) => Offered::Nothing,
        _ => Offered::Unreadable,
    }
}

/// The end of a connection whose client is not let in; who cannot be told yet asks again.
pub(super) fn turned_away(error: &Error) -> End {
    left(if error.code() == Code::Unauthenticated { Lapse::Refused } else { Lapse::Unknown })
}

/// The end of a connection whose client may not stay.
pub(super) fn left(lapse: Lapse) -> End {
    match lapse {
        Lapse::Refused => close(4403, "Forbidden"),
        Lapse::Unknown => close(1013, "Try again later"),
    }
}
