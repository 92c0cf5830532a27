//! Reads the body of a query as duetector's server (FastAPI) does, and says what is wrong in the same form.

use actix_web::http::header::{CONTENT_TYPE, HeaderMap};
use analyzer::duetector::TrackingQuery;
use serde_json::{Map, Value, json};

use super::json_error;
use super::validate::Fields;

/// The collector of a query without a body.
const UNKNOWN_COLLECTOR: &str = "unknown-collector-id";

/// Why a body is refused.
#[derive(Debug, PartialEq)]
pub(super) enum Wrong {
    /// The list of errors.
    Invalid(Value),
    /// The body is no text.
    Unreadable,
}

/// Reads a query.
pub(super) fn read(headers: &HeaderMap, body: &[u8]) -> Result<TrackingQuery, Wrong> {
    let default = TrackingQuery { collector_ids: vec![UNKNOWN_COLLECTOR.to_owned()], ..Default::default() };
    if body.is_empty() {
        return Ok(default);
    }
    let text = std::str::from_utf8(body).map_err(|_| Wrong::Unreadable)?;
    if !is_json(headers) {
        return Err(not_an_object(&Value::from(text)));
    }
    match serde_json::from_str(text) {
        Ok(Value::Null) => Ok(default),
        Ok(Value::Object(fields)) => of_fields(fields),
        Ok(other) => Err(not_an_object(&other)),
        Err(cause) => Err(Wrong::Invalid(json_error::errors(text, &cause))),
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(CONTENT_TYPE) else { return true };
    let kind = kind.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    let kind = kind.trim().to_ascii_lowercase();
    kind.strip_prefix("application/").is_some_and(|kind| kind == "json" || kind.ends_with("+json"))
}

fn not_an_object(input: &Value) -> Wrong {
    let msg = "Input should be a valid dictionary or object to extract fields from";
    Wrong::Invalid(json!([{"type": "model_attributes_type", "loc": ["body"], "msg": msg, "input": input}]))
}

fn of_fields(given: Map<String, Value>) -> Result<TrackingQuery, Wrong> {
    let mut fields = Fields::new(given);
    let query = TrackingQuery {
        collector_ids: vec![fields.required_text("collector_id")],
        tracers: fields.texts("tracers"),
        since: fields.datetime("start_datetime"),
        until: fields.datetime("end_datetime"),
        start: fields.int("start"),
        limit: fields.int("limit"),
        columns: fields.texts("columns"),
        wheres: fields.object("where").into_iter().collect(),
        distinct: fields.bool("distinct"),
        ascending: fields.texts("order_by_asc"),
        descending: fields.texts("order_by_desc"),
    };
    fields.end().map_or(Ok(query), |errors| Err(Wrong::Invalid(errors)))
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    fn parse(kind: Option<&'static str>, body: &str) -> Result<TrackingQuery, Wrong> {
        let mut headers = HeaderMap::new();
        if let Some(kind) = kind {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        read(&headers, body.as_bytes())
    }

    #[test]
    fn a_body_is_json_only_if_its_type_says_so_or_nothing() {
        let body = r#"{"collector_id": "x", "unknown": 1}"#;
        for kind in [
            None,
            Some("application/json"),
            Some("Application/JSON; charset=utf-8"),
            Some("application/a+json"),
        ] {
            assert_eq!(parse(kind, body).unwrap().collector_ids, ["x"], "{kind:?}");
        }
        assert!(matches!(parse(Some("text/plain"), body), Err(Wrong::Invalid(_))));
        assert_eq!(parse(Some("text/plain"), "").unwrap().collector_ids, [UNKNOWN_COLLECTOR]);
        assert_eq!(parse(None, "null").unwrap().collector_ids, [UNKNOWN_COLLECTOR]);
        assert_eq!(read(&HeaderMap::new(), &[b'"', 0xff]), Err(Wrong::Unreadable));
    }
}
