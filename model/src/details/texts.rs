//! All texts of a record that a traced process chose, so that their size can be bounded.

use super::{ActField, Details, Ends};
use crate::Text;

impl Details {
    /// Calls `text` with each text of the record and the name of its column or field. The arguments of an exec are visited
    /// one by one, all as `argv`. Texts of other programs ([`Details::Fields`]) have limits of their own.
    pub fn texts_mut(&mut self, text: &mut dyn FnMut(&'static str, &mut Text)) {
        match self {
            Self::Open(open) => {
                text("fname", &mut open.path);
                text("path_asked", &mut open.path_asked);
            }
            Self::Exec(exec) => {
                text("fname", &mut exec.path);
                text("path_asked", &mut exec.path_asked);
                text("cwd", &mut exec.cwd);
                exec.argv.iter_mut().for_each(|argument| text("argv", argument));
                if let Some(interpreter) = &mut exec.interpreter {
                    text("interpreter", &mut interpreter.path);
                }
            }
            Self::Socket(socket) => ends(&mut socket.ends, text),
            Self::Dns(dns) => ends(&mut dns.ends, text),
            Self::Fs(fs) => {
                text("fname", &mut fs.path);
                fs.path_asked.iter_mut().for_each(|asked| text("path_asked", asked));
                if let Some(other) = &mut fs.other {
                    text(other.name, &mut other.path);
                    other.asked.iter_mut().for_each(|(name, asked)| text(name, asked));
                }
                fs.word.iter_mut().for_each(|(name, word)| text(name, word));
            }
            Self::Usage(usage) => text("fname", &mut usage.path),
            Self::Act(act) => {
                act.path.iter_mut().for_each(|path| text("fname", path));
                for (name, field) in &mut act.fields {
                    if let ActField::Text(word) = field {
                        text(name, word);
                    }
                }
            }
            Self::Clone(_) | Self::Exit(_) | Self::Loss(_) | Self::Fields(_) => {}
        }
    }
}

impl Details {
    /// Removes those of the requested paths that are in fields of these names. The absolute paths were made from them.
    pub fn drop_asked(&mut self, names: &[&str]) {
        let is_named = names.contains(&"path_asked");
        match self {
            Self::Open(open) if is_named => open.path_asked = open.path.clone(),
            Self::Exec(exec) if is_named => exec.path_asked = exec.path.clone(),
            Self::Fs(fs) => {
                fs.path_asked.take_if(|_| is_named);
                if let Some(other) = &mut fs.other {
                    other.asked.take_if(|(name, _)| names.contains(name));
                }
            }
            _ => {}
        }
    }
}

fn ends(ends: &mut Ends, text: &mut dyn FnMut(&'static str, &mut Text)) {
    if let Ends::Unix { path, name, .. } = ends {
        path.iter_mut().for_each(|path| text("fname", path));
        text("sun_path", name);
    }
}
