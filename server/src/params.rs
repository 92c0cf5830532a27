//! The parameters of a request: from its query string, or from an object in its body. Both mean the same.

use std::fmt::Display;
use std::str::FromStr;

use actix_web::HttpRequest;
use actix_web::web::{Payload, Query};
use serde_json::Value;

use crate::body::Bounds;
use crate::problem::Problem;

/// Parameters that were given and not taken yet.
#[derive(Debug, Default)]
pub(crate) struct Params(Vec<(String, Value)>);

impl Params {
    /// Reads the parameters of a request.
    pub(crate) async fn read(
        request: &HttpRequest,
        payload: Payload,
        bounds: Bounds,
    ) -> Result<Self, Problem> {
        let query = Query::<Vec<(String, String)>>::from_query(request.query_string());
        let query = query.map_err(|cause| Problem::wrong(format!("the query string: {cause}")))?.into_inner();
        let mut params = Self(query.into_iter().map(|(name, text)| (name, text.into())).collect());
        let body = bounds.read(payload).await?;
        if !body.is_empty() {
            let object = serde_json::from_slice(&body)
                .map_err(|cause| Problem::wrong(format!("the body is no JSON: {cause}")))?;
            params.0.extend(Self::of(object)?.0);
        }
        Ok(params)
    }

    /// Takes the members of an object as parameters. Items of a list are parameters of the same name.
    fn of(object: Value) -> Result<Self, Problem> {
        let Value::Object(object) = object else { return Err(Problem::wrong("expected a JSON object")) };
        let mut params = Vec::new();
        for (name, value) in object {
            match value {
                Value::Null => {}
                Value::Array(items) => {
                    params.extend(items.into_iter().map(|item| (name.clone(), item)));
                }
                other => params.push((name, other)),
            }
        }
        Ok(Self(params))
    }

    /// Takes all values of a parameter as texts.
    pub(crate) fn texts(&mut self, name: &str) -> Result<Vec<String>, Problem> {
        let (taken, left) = std::mem::take(&mut self.0).into_iter().partition(|(known, _)| known == name);
        self.0 = left;
        let taken: Vec<(String, Value)> = taken;
        let text = |(_, value)| match value {
            Value::String(text) => Ok(text),
            Value::Number(number) => Ok(number.to_string()),
            Value::Bool(is_true) => Ok(is_true.to_string()),
            _ => Err(Problem::wrong(format!("{name}: expected a text, a number, true or false"))),
        };
        taken.into_iter().map(text).collect()
    }

    /// Takes a parameter that is given at most once.
    pub(crate) fn text(&mut self, name: &str) -> Result<Option<String>, Problem> {
        let mut texts = self.texts(name)?;
        if texts.len() > 1 {
            return Err(Problem::wrong(format!("{name} is given more than once")));
        }
        Ok(texts.pop())
    }

    /// Takes a parameter, and reads its text.
    pub(crate) fn parsed<T: FromStr<Err: Display>>(&mut self, name: &str) -> Result<Option<T>, Problem> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        text.parse().map(Some).map_err(|cause| Problem::wrong(format!("{name}: {cause}")))
    }

    /// Takes a truth value; without it, it is false.
    pub(crate) fn flag(&mut self, name: &str) -> Result<bool, Problem> {
        match self.text(name)?.as_deref() {
            None | Some("false" | "0") => Ok(false),
            Some("" | "true" | "1") => Ok(true),
            Some(_) => Err(Problem::wrong(format!("{name}: expected true or false"))),
        }
    }

    /// Refuses what was given and not taken: a misspelled parameter must not look as if it had an effect.
    pub(crate) fn end(self) -> Result<(), Problem> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => Err(Problem::wrong(format!("there is no parameter {name:?} here"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parameters_are_taken_once_and_none_is_overlooked() {
        let mut params = Params::of(json!({"a": ["x", 1], "b": true, "c": null, "d": "7"})).unwrap();
        assert_eq!(params.texts("a").unwrap(), ["x", "1"]);
        assert!(params.flag("b").unwrap() && !params.flag("c").unwrap());
        assert!(Params::of(json!({"a": ["x", "y"]})).unwrap().text("a").is_err());
        assert!(params.end().unwrap_err().detail.contains("\"d\""));
        assert!(Params::of(json!([])).is_err() && Params::of(json!({"x": {}})).unwrap().text("x").is_err());
    }
}
