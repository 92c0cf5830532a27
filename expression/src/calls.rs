//! The functions that an expression can call, with their arguments and results.

use super::kind::Kind;

/// A function or method of an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    Size,
    StartsWith,
    EndsWith,
    Contains,
    Matches,
    InCidr,
    Lower,
    Upper,
    Trim,
    Int,
    Double,
    Text,
    Bool,
    Dyn,
    Time,
    Span,
    Part(Part),
}

/// A part of a timestamp or a duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Year,
    Month,
    DayOfYear,
    DayOfMonth,
    Date,
    DayOfWeek,
    Hours,
    Minutes,
    Seconds,
    Milliseconds,
}

/// Syntax, argument types and result type of a function.
pub(super) struct Signature {
    pub(super) name: &'static str,
    pub(super) function: Function,
    /// `a.f(b)`, `f(a, b)`, or both.
    pub(super) form: Form,
    /// Types accepted for each argument, the receiver first; a list stands for lists of any elements.
    takes: &'static [&'static [Take]],
    gives: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Method,
    Global,
    Both,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Take {
    Bool,
    Int,
    Double,
    Text,
    Time,
    Span,
    List,
    Object,
    All,
}

impl Take {
    fn takes(self, kind: &Kind) -> bool {
        match self {
            Self::All => true,
            Self::Bool => *kind == Kind::Bool,
            Self::Int => *kind == Kind::Int,
            Self::Double => *kind == Kind::Double,
            Self::Text => *kind == Kind::Text,
            Self::Time => *kind == Kind::Time,
            Self::Span => *kind == Kind::Span,
            Self::Object => *kind == Kind::Object,
            Self::List => matches!(kind, Kind::List(_)),
        }
    }
}

const fn signature(
    name: &'static str,
    function: Function,
    form: Form,
    takes: &'static [&'static [Take]],
    gives: Kind,
) -> Signature {
    Signature { name, function, form, takes, gives }
}

const fn part(name: &'static str, part: Part) -> Signature {
    signature(name, Function::Part(part), Form::Method, &[&[Take::Time]], Kind::Int)
}

const fn clock_part(name: &'static str, part: Part) -> Signature {
    signature(name, Function::Part(part), Form::Method, &[&[Take::Time, Take::Span]], Kind::Int)
}

const TEXT: &[Take] = &[Take::Text];
const SCALAR: &[Take] = &[Take::Bool, Take::Int, Take::Double, Take::Text, Take::Time, Take::Span];

pub(super) const FUNCTIONS: &[Signature] = &[
    signature("size", Function::Size, Form::Both, &[&[Take::Text, Take::List, Take::Object]], Kind::Int),
    signature("startsWith", Function::StartsWith, Form::Method, &[TEXT, TEXT], Kind::Bool),
    signature("endsWith", Function::EndsWith, Form::Method, &[TEXT, TEXT], Kind::Bool),
    signature("contains", Function::Contains, Form::Method, &[TEXT, TEXT], Kind::Bool),
    signature("matches", Function::Matches, Form::Both, &[TEXT, TEXT], Kind::Bool),
    signature("inCidr", Function::InCidr, Form::Both, &[TEXT, TEXT], Kind::Bool),
    signature("lowerAscii", Function::Lower, Form::Method, &[TEXT], Kind::Text),
    signature("upperAscii", Function::Upper, Form::Method, &[TEXT], Kind::Text),
    signature("trim", Function::Trim, Form::Method, &[TEXT], Kind::Text),
    signature("int", Function::Int, Form::Global, &[&[Take::Int, Take::Double, Take::Text]], Kind::Int),
    signature(
        "double",
        Function::Double,
        Form::Global,
        &[&[Take::Int, Take::Double, Take::Text]],
        Kind::Double,
    ),
    signature("string", Function::Text, Form::Global, &[SCALAR], Kind::Text),
    signature("bool", Function::Bool, Form::Global, &[&[Take::Bool, Take::Text]], Kind::Bool),
    signature("dyn", Function::Dyn, Form::Global, &[&[Take::All]], Kind::Any),
    signature("timestamp", Function::Time, Form::Global, &[&[Take::Text, Take::Int, Take::Time]], Kind::Time),
    signature("duration", Function::Span, Form::Global, &[&[Take::Text, Take::Span]], Kind::Span),
    part("getFullYear", Part::Year),
    part("getMonth", Part::Month),
    part("getDayOfYear", Part::DayOfYear),
    part("getDayOfMonth", Part::DayOfMonth),
    part("getDate", Part::Date),
    part("getDayOfWeek", Part::DayOfWeek),
    clock_part("getHours", Part::Hours),
    clock_part("getMinutes", Part::Minutes),
    clock_part("getSeconds", Part::Seconds),
    clock_part("getMilliseconds", Part::Milliseconds),
];

/// Names of the macros, for suggestions.
pub(super) const MACROS: [&str; 6] = ["has", "all", "exists", "exists_one", "filter", "map"];

impl Signature {
    pub(super) fn named(name: &str) -> Option<&'static Self> {
        FUNCTIONS.iter().find(|signature| signature.name == name)
    }

    pub(super) fn arity(&self) -> usize {
        self.takes.len()
    }

    /// Returns the type of the result, or the index of the first argument with a wrong type.
    pub(super) fn check(&self, arguments: &[Kind]) -> Result<Kind, usize> {
        let refused = self
            .takes
            .iter()
            .zip(arguments)
            .position(|(takes, kind)| !kind.is_open() && !takes.iter().any(|take| take.takes(kind)));
        refused.map_or_else(|| Ok(self.gives.clone()), Err)
    }

    /// Returns how the function is called, for error messages.
    pub(super) fn usage(&self) -> String {
        let words: Vec<String> = self.takes.iter().map(|takes| words(takes)).collect();
        match (self.form, words.split_first()) {
            (Form::Method | Form::Both, Some((receiver, rest))) => {
                format!("{receiver}.{}({})", self.name, rest.join(", "))
            }
            _ => format!("{}({})", self.name, words.join(", ")),
        }
    }
}

fn words(takes: &[Take]) -> String {
    let word = |take: &Take| match take {
        Take::Bool => "bool",
        Take::Int => "int",
        Take::Double => "double",
        Take::Text => "string",
        Take::Time => "timestamp",
        Take::Span => "duration",
        Take::List => "list",
        Take::Object => "map",
        Take::All => "any",
    };
    takes.iter().map(word).collect::<Vec<_>>().join("|")
}
