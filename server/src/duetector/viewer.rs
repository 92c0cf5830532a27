//! A page that shows an OpenAPI description to people. It has no script, and loads nothing.

use std::fmt::Write as _;

use serde_json::Value;

const HEAD: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" \
    content=\"width=device-width\"><title>API</title><style>:root{color-scheme:light dark}body{font:1rem/1.5 \
    system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}h2{font-size:1.1rem;margin-top:2rem}\
    code,pre{font-family:ui-monospace,monospace}pre{overflow:auto;padding:.5rem;border:1px solid #8888}\
    </style><body>";

/// Returns the page.
pub(super) fn page(openapi: &str) -> String {
    let description: Value = serde_json::from_str(openapi).unwrap_or_default();
    let mut page = HEAD.to_owned();
    let text = |value: &Value| escape(value.as_str().unwrap_or_default());
    let info = &description["info"];
    // Writing to a String can't fail.
    let _ = write!(
        page,
        "<h1>{} {}</h1><p>{}</p>",
        text(&info["title"]),
        text(&info["version"]),
        text(&info["description"])
    );
    let _ = write!(page, "<p>The description for programs: <a href=\"openapi.json\">openapi.json</a></p>");
    for (path, methods) in description["paths"].as_object().into_iter().flatten() {
        for (method, operation) in methods.as_object().into_iter().flatten() {
            let _ = write!(page, "<h2><code>{} {}</code></h2>", escape(&method.to_uppercase()), escape(path));
            let _ = write!(page, "<p>{}</p>", text(&operation["description"]));
            for part in ["parameters", "requestBody", "responses"] {
                if let Some(part_of) = operation.get(part) {
                    let json = serde_json::to_string_pretty(part_of).unwrap_or_default();
                    let _ = write!(
                        page,
                        "<details><summary>{part}</summary><pre>{}</pre></details>",
                        escape(&json)
                    );
                }
            }
        }
    }
    page.push_str("<h2>Schemas</h2>");
    for (name, schema) in description["components"]["schemas"].as_object().into_iter().flatten() {
        let json = serde_json::to_string_pretty(schema).unwrap_or_default();
        let _ = write!(
            page,
            "<details><summary>{}</summary><pre>{}</pre></details>",
            escape(name),
            escape(&json)
        );
    }
    page
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_description_says_is_text_and_no_markup() {
        let page =
            page(r#"{"info": {"title": "<script>"}, "paths": {"/x": {"get": {"description": "a & b"}}}}"#);
        assert!(page.contains("&lt;script&gt;") && page.contains("a &amp; b") && !page.contains("<script>"));
    }
}
