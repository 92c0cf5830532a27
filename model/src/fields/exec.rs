//! Fields of exec records.

use std::borrow::Cow;

use serde_json::Value;

use super::parts::{names_of, visit_asked, visit_file, visit_mark};
use crate::details::FlagSet;
use crate::extended::{Field, visit_text};
use crate::text;

/// Visits the fields of a program that was run, or could not be.
pub(super) fn visit<'a>(exec: &'a crate::Exec, field: &mut dyn FnMut(&'a str, Field<'a>)) {
    visit_asked(&exec.path_asked, &exec.path, field);
    field("argv", Field::Texts(&exec.argv));
    if exec.argv.iter().any(|arg| arg.raw().is_some()) {
        let bytes = exec.argv.iter().map(|arg| Value::String(text::hex(arg.as_bytes()))).collect();
        field("argv_bytes", Field::Json(Cow::Owned(Value::Array(bytes))));
    }
    visit_mark("argv_cut", exec.argv_cut, field);
    if let Some(flags) = exec.execveat {
        field("call", Field::Str("execveat".into()));
        if flags != 0 {
            field("flags", Field::Names(names_of(flags.into(), FlagSet::At.known())));
        }
    }
    visit_mark("memfd", exec.memfd, field);
    visit_file(exec.file.as_ref(), field);
    if let Some(interpreter) = &exec.interpreter {
        visit_text("interpreter", "interpreter_bytes", &interpreter.path, field);
        field("interpreter_dev", Field::Uint(interpreter.file.dev));
        field("interpreter_ino", Field::Uint(interpreter.file.ino));
        visit_mark(
            "subvolume_unknown",
            interpreter.file.subvolume_unknown && exec.file.is_none_or(|file| !file.subvolume_unknown),
            field,
        );
    }
    visit_mark("path_incomplete", exec.path_incomplete, field);
    visit_mark("path_unresolved", exec.path_unresolved, field);
}
