//! `questions`: questions that the store can answer, and the command for each.

use crate::exit::Outcome;
use crate::output;

/// A question and its answer.
struct Question {
    question: &'static str,
    command: &'static str,
}

const QUESTIONS: [Question; 10] = [
    Question {
        question: "Who used this data set since yesterday, and how much of it?",
        command: "uses /srv/data/ --since -1d",
    },
    Question { question: "Which users read it, and who was refused?", command: "uses /srv/data/ --by user" },
    Question {
        question: "Where can this file's content have gone: other files, processes, addresses?",
        command: "lineage /srv/data/train.csv --down",
    },
    Question {
        question: "Which files can this file's content have come from?",
        command: "lineage /srv/out/model.bin --up",
    },
    Question {
        question: "What did this process do: files, peers, commands, signals?",
        command: "process --comm python3 --since -1h",
    },
    Question { question: "What is busy now?", command: "top" },
    Question {
        question: "Who deleted or renamed files below this folder?",
        command: "query --tracer unlink --tracer rename --where 'fname.startsWith(\"/srv/data/\") && ret == 0' --limit 0",
    },
    Question {
        question: "Which programs talked to an address outside of our network?",
        command: "query --tracer connect --where 'has(daddr) && !inCidr(daddr, \"10.0.0.0/8\")' --columns comm,daddr,dport --distinct",
    },
    Question {
        question: "How many bytes did each user read in each file, the largest first?",
        command: "sql 'SELECT uid, fname, sum(bytes_read) AS bytes FROM usage GROUP BY uid, fname ORDER BY bytes DESC LIMIT 20'",
    },
    Question { question: "Were any records lost?", command: "sql 'SELECT * FROM losses'" },
];

/// Returns the list as text, as `help questions` shows it.
pub(crate) fn text() -> String {
    let of =
        |Question { question, command }: &Question| format!("{question}\n    duetector-actors {command}");
    QUESTIONS.iter().map(of).collect::<Vec<_>>().join("\n\n")
}

/// Prints the list.
pub(crate) fn run() -> Outcome {
    output::print(&text())?;
    Ok(())
}

#[cfg(test)]
pub(crate) fn commands() -> impl Iterator<Item = &'static str> {
    QUESTIONS.iter().map(|question| question.command)
}
