//! Fault plans as JSON: what `/_faults` and a plan file take, and what it shows.

use std::time::Duration;

use axum::http::HeaderName;
use axum::http::HeaderValue;

use crate::emulator::fault::Answer;
use crate::emulator::fault::Apply;
use crate::emulator::fault::Fault;
use crate::emulator::fault::Scope;
use crate::emulator::fault::When;
use crate::emulator::faults::Faults;
use crate::emulator::faults::Lag;
use crate::emulator::faults::LagBy;
use crate::emulator::faults::Standing;
use crate::emulator::operation::Operation;
use crate::emulator::refusal::Refusal;
use crate::emulator::reply::JSON;
use crate::emulator::reply::Reply;
use crate::emulator::wire;
use crate::emulator::wire::object;
use crate::emulator::wire::text;
use crate::emulator::wire::whole;
use crate::json::Json;
use crate::json::Literals;

/// The keys of a whole plan.
const PLAN: [&str; 4] = ["faults", "lag", "ready_after_ms", "large_body_status"];
/// The keys of one fault.
const FAULT: [&str; 21] = [
    "operation",
    "index",
    "namespace",
    "path",
    "ids",
    "skip",
    "times",
    "always",
    "probability",
    "seed",
    "per_second",
    "burst",
    "retry_after",
    "delay_ms",
    "apply",
    "late_ms",
    "answer",
    "status",
    "headers",
    "content_type",
    "body",
];

/// A whole plan, read and checked.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plan {
    faults: Vec<Fault>,
    /// Set, or taken back, or left as it is.
    lag: Option<Option<Lag>>,
    ready_after: Option<Duration>,
    large_is_400: Option<bool>,
}

impl Plan {
    /// Reads the text of a plan.
    ///
    /// # Errors
    /// What is wrong with it, in one sentence.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        let json =
            Json::parse(text, Literals::Strict).map_err(|error| format!("The plan is not valid JSON: {error}"))?;
        read(&json).map_err(|refusal| refusal.message)
    }

    /// Puts it in force; gives the numbers of its faults.
    pub fn enforce(self, faults: &Faults) -> Vec<u64> {
        if let Some(lag) = self.lag {
            faults.lag(lag);
        }
        if let Some(after) = self.ready_after {
            faults.ready_after(after);
        }
        if let Some(old) = self.large_is_400 {
            faults.large_is_400(old);
        }
        self.faults.into_iter().map(|fault| faults.add(fault)).collect()
    }
}

/// Reads a plan: one fault, or `faults` with what else can be set.
fn read(json: &Json) -> Result<Plan, Refusal> {
    let Json::Object(entries) = json else { return Err(Refusal::invalid("A plan must be a JSON object")) };
    if !entries.iter().any(|(key, _)| PLAN.contains(&key.as_str())) {
        return Ok(Plan { faults: vec![read_fault(json)?], ..Plan::default() });
    }
    known(json, &PLAN)?;
    let faults = wire::array(json, "faults")?.unwrap_or_default();
    Ok(Plan {
        faults: faults.iter().map(read_fault).collect::<Result<_, _>>()?,
        lag: json.get("lag").map(read_lag).transpose()?,
        ready_after: wire::integer(json, "ready_after_ms")?.map(|ms| time("ready_after_ms", ms)).transpose()?,
        large_is_400: match wire::integer(json, "large_body_status")? {
            None => None,
            Some(400) => Some(true),
            Some(413) => Some(false),
            Some(_) => return Err(Refusal::invalid("large_body_status must be 400 or 413")),
        },
    })
}

fn known(json: &Json, keys: &[&str]) -> Result<(), Refusal> {
    let Json::Object(entries) = json else { return Err(wire::refused("fault", json, "an object")) };
    match entries.iter().find(|(key, _)| !keys.contains(&key.as_str())) {
        None => Ok(()),
        Some((key, _)) => Err(Refusal::invalid(format!("{key}: no such setting; there are {}", keys.join(", ")))),
    }
}

fn time(name: &str, ms: i64) -> Result<Duration, Refusal> {
    let ms = u64::try_from(ms).map_err(|_| Refusal::invalid(format!("{name} must not be negative")))?;
    Ok(Duration::from_millis(ms))
}

fn count(json: &Json, name: &str) -> Result<Option<u64>, Refusal> {
    let number = wire::integer(json, name)?;
    let number = number
        .map(|number| u64::try_from(number).map_err(|_| Refusal::invalid(format!("{name} must not be negative"))));
    number.transpose()
}

fn real(json: &Json, name: &str) -> Result<Option<f64>, Refusal> {
    match wire::field(json, name) {
        None => Ok(None),
        Some(value @ Json::Number(digits)) => match digits.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Some(number)),
            Ok(_) | Err(_) => Err(wire::refused(name, value, "a finite number")),
        },
        Some(other) => Err(wire::refused(name, other, "a number")),
    }
}

/// Refuses a number outside of what it means.
fn within(name: &str, number: Option<f64>, fits: impl Fn(f64) -> bool, wanted: &str) -> Result<(), Refusal> {
    if number.is_none_or(fits) { Ok(()) } else { Err(Refusal::invalid(format!("{name} must be {wanted}"))) }
}

/// Refuses a setting that says nothing without another.
fn goes_with(json: &Json, name: &str, other: &str, there: bool) -> Result<(), Refusal> {
    if there || wire::field(json, name).is_none() {
        return Ok(());
    }
    Err(Refusal::invalid(format!("{name} says nothing without {other}")))
}

fn operations(json: &Json, name: &str) -> Result<Vec<Operation>, Refusal> {
    let names = match wire::field(json, name) {
        None => Vec::new(),
        Some(Json::String(name)) => vec![name.clone()],
        Some(_) => wire::strings(json, name)?.unwrap_or_default(),
    };
    let read = |operation: &String| {
        Operation::named(operation).ok_or_else(|| {
            let all: Vec<&str> = Operation::ALL.iter().map(|operation| operation.name()).collect();
            Refusal::invalid(format!("{name}: no operation '{operation}'; there are {}", all.join(", ")))
        })
    };
    names.iter().map(read).collect()
}

fn read_lag(json: &Json) -> Result<Option<Lag>, Refusal> {
    if *json == Json::Null {
        return Ok(None);
    }
    known(json, &["ms", "requests", "operations"])?;
    let by = match (count(json, "ms")?, count(json, "requests")?) {
        (Some(ms), None) => LagBy::Time(Duration::from_millis(ms)),
        (None, Some(requests)) => LagBy::Requests(requests),
        _ => return Err(Refusal::invalid("lag must have ms or requests")),
    };
    Ok(Some(Lag { by, operations: operations(json, "operations")? }))
}

fn read_fault(json: &Json) -> Result<Fault, Refusal> {
    known(json, &FAULT)?;
    let string = |name: &str| Ok::<_, Refusal>(wire::string(json, name)?.map(str::to_owned));
    let scope = Scope {
        operations: operations(json, "operation")?,
        index: string("index")?,
        namespace: string("namespace")?,
        path: string("path")?,
        ids: wire::strings(json, "ids")?.unwrap_or_default(),
    };
    let always = wire::boolean(json, "always")?.unwrap_or(false);
    let (probability, per_second) = (real(json, "probability")?, real(json, "per_second")?);
    let (seed, burst) = (count(json, "seed")?, real(json, "burst")?);
    let retry_after = wire::boolean(json, "retry_after")?;
    let (skip, times) = (count(json, "skip")?, count(json, "times")?);
    within("probability", probability, |chance| (0.0..=1.0).contains(&chance), "from 0 to 1")?;
    within("per_second", per_second, |tokens| tokens > 0.0, "above 0")?;
    within("burst", burst, |tokens| tokens >= 1.0, "at least 1")?;
    goes_with(json, "seed", "probability", probability.is_some())?;
    goes_with(json, "burst", "per_second", per_second.is_some())?;
    goes_with(json, "retry_after", "per_second", per_second.is_some())?;
    let when = match (probability, per_second) {
        (Some(probability), None) => When::Chance { probability, seed: seed.unwrap_or(0) },
        (None, Some(per_second)) => When::Over {
            per_second,
            burst: burst.unwrap_or(per_second).max(1.0),
            retry_after: retry_after.unwrap_or(false),
        },
        (None, None) => {
            When::Calls { skip: skip.unwrap_or(0), times: if always { None } else { Some(times.unwrap_or(1)) } }
        }
        (Some(_), Some(_)) => return Err(Refusal::invalid("A fault may have probability or per_second, not both")),
    };
    let late = wire::integer(json, "late_ms")?.map(|ms| time("late_ms", ms)).transpose()?;
    let apply = match (wire::string(json, "apply")?, late) {
        (None, None) => None,
        (Some("now"), None) => Some(Apply::Now),
        (Some("never"), None) => Some(Apply::Never),
        (None | Some("late"), late) => Some(Apply::Late(late.unwrap_or_default())),
        (Some(_), _) => return Err(Refusal::invalid("apply must be now, never or late (with late_ms)")),
    };
    let limited = matches!(when, When::Over { .. });
    let delay = time("delay_ms", wire::integer(json, "delay_ms")?.unwrap_or(0))?;
    Ok(Fault { scope, when, delay, apply, answer: read_answer(json, limited)? })
}

fn read_answer(json: &Json, limited: bool) -> Result<Answer, Refusal> {
    let status = match wire::integer(json, "status")? {
        None if limited => Some(429),
        None => None,
        Some(status @ 200..=599) => u16::try_from(status).ok(),
        Some(_) => return Err(Refusal::invalid("status must be between 200 and 599")),
    };
    let headers = match wire::field(json, "headers") {
        None => Vec::new(),
        Some(Json::Object(entries)) => entries
            .iter()
            .map(|(key, value)| (key.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
            .collect(),
        Some(other) => return Err(wire::refused("headers", other, "an object")),
    };
    // A length that is not the body's would be a defect of this server.
    let framing = ["content-length", "transfer-encoding", "connection"];
    if let Some((name, _)) = headers.iter().find(|(name, _)| framing.contains(&name.to_ascii_lowercase().as_str())) {
        return Err(Refusal::invalid(format!("headers: {name} is the server's own; there is answer: truncated")));
    }
    for (name, value) in &headers {
        if HeaderName::try_from(name.as_str()).is_err() {
            return Err(Refusal::invalid(format!("headers: {} is no name of a header", text(name.as_str()))));
        }
        if HeaderValue::try_from(value.as_str()).is_err() {
            return Err(Refusal::invalid(format!("headers.{name}: the value must be visible characters of one line")));
        }
    }
    let content_type = wire::string(json, "content_type")?;
    goes_with(json, "content_type", "body", wire::field(json, "body").is_some())?;
    if content_type.is_some_and(|given| given.is_empty() || HeaderValue::try_from(given).is_err()) {
        return Err(Refusal::invalid("content_type must be visible characters of one line"));
    }
    match (wire::string(json, "answer")?, status, wire::field(json, "body")) {
        (None | Some("status"), Some(status), None) => Ok(Answer::Status { status, headers }),
        (None | Some("status"), Some(status), Some(body)) => {
            let (own, body) = match body.as_str() {
                Some(body) => ("text/plain", body.to_owned()),
                None => (JSON, body.to_string()),
            };
            let content_type = content_type.unwrap_or(own).to_owned();
            Ok(Answer::Canned(Reply { status, headers, content_type, body: body.into() }))
        }
        (Some("html"), status, None) => Ok(Fault::any().html(status.unwrap_or(502)).answer),
        (None | Some("own"), None, None) => Ok(Answer::Own),
        (Some("reset"), None, None) => Ok(Answer::Reset),
        (Some("stall"), None, None) => Ok(Answer::Stall),
        (Some("truncated"), None, None) => Ok(Answer::Truncated),
        _ => Err(Refusal::invalid(
            "answer must be own, reset, stall, truncated or html, or there must be a status (with a body, or without)",
        )),
    }
}

/// What is in force.
#[must_use]
pub fn write(faults: &Faults) -> Json {
    let (lag, ready_after, large_is_400) = faults.settings();
    let lag = lag.map_or(Json::Null, |lag| {
        let by = match lag.by {
            LagBy::Time(by) => ("ms", whole(by.as_millis())),
            LagBy::Requests(requests) => ("requests", whole(requests)),
        };
        object([by, ("operations", names(&lag.operations))])
    });
    object([
        ("faults", Json::Array(faults.standing().iter().map(write_standing).collect())),
        ("lag", lag),
        ("ready_after_ms", whole(ready_after.as_millis())),
        ("large_body_status", whole(if large_is_400 { 400 } else { 413 })),
    ])
}

fn names(operations: &[Operation]) -> Json {
    Json::Array(operations.iter().map(|operation| text(operation.name())).collect())
}

fn write_standing(standing: &Standing) -> Json {
    let Fault { scope, when, delay, apply, answer } = &standing.fault;
    let mut entries = Vec::new();
    let mut put = |name: &str, json: Json| entries.push((name.to_owned(), json));
    put("number", whole(standing.number));
    put("met", whole(standing.met));
    put("happened", whole(standing.happened));
    put("operation", names(&scope.operations));
    for (name, value) in [("index", &scope.index), ("namespace", &scope.namespace), ("path", &scope.path)] {
        if let Some(value) = value {
            put(name, text(value.as_str()));
        }
    }
    if !scope.ids.is_empty() {
        put("ids", Json::Array(scope.ids.iter().map(|id| text(id.as_str())).collect()));
    }
    match when {
        When::Calls { skip, times } => {
            put("skip", whole(skip));
            match times {
                Some(times) => put("times", whole(times)),
                None => put("always", Json::Bool(true)),
            }
        }
        When::Chance { probability, seed } => {
            put("probability", wire::double(*probability));
            put("seed", whole(seed));
        }
        When::Over { per_second, burst, retry_after } => {
            put("per_second", wire::double(*per_second));
            put("burst", wire::double(*burst));
            put("retry_after", Json::Bool(*retry_after));
        }
    }
    put("delay_ms", whole(delay.as_millis()));
    match apply {
        None => {}
        Some(Apply::Now) => put("apply", text("now")),
        Some(Apply::Never) => put("apply", text("never")),
        Some(Apply::Late(by)) => put("late_ms", whole(by.as_millis())),
    }
    match answer {
        Answer::Own => put("answer", text("own")),
        Answer::Truncated => put("answer", text("truncated")),
        Answer::Reset => put("answer", text("reset")),
        Answer::Stall => put("answer", text("stall")),
        Answer::Status { status, .. } => put("status", whole(status)),
        Answer::Canned(reply) => {
            put("status", whole(reply.status));
            put("content_type", text(reply.content_type.as_str()));
            put("body", text(String::from_utf8_lossy(&reply.body)));
        }
    }
    Json::Object(entries)
}
