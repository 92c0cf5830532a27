//! Names to be tried: few, so that most are there, and often of the kind that is asked for.

use std::path::{Path, PathBuf};

use rand::RngExt as _;
use rand::rngs::StdRng;

/// A path in `area` whose last name is most often that of a file.
pub(crate) fn file(random: &mut StdRng, area: &Path) -> PathBuf {
    let last = if random.random_ratio(1, 10) { folder_name(random) } else { file_name(random) };
    between(random, area).join(last)
}

/// A path in `area` whose last name is most often that of a folder.
pub(crate) fn folder(random: &mut StdRng, area: &Path) -> PathBuf {
    let last = if random.random_ratio(1, 10) { file_name(random) } else { folder_name(random) };
    between(random, area).join(last)
}

/// Returns an existing or a new path.
pub(crate) fn any(random: &mut StdRng, area: &Path) -> PathBuf {
    if random.random_ratio(1, 3) { folder(random, area) } else { file(random, area) }
}

/// A name of a file.
pub(crate) fn file_name(random: &mut StdRng) -> String {
    // Of them some with what a text must not have.
    let name = ["f0", "f1", "f2", "f3", "f4", "f5", "a file", "täglich", "f\n8", "-rf"];
    name[random.random_range(0..name.len())].to_owned()
}

/// A name of a folder.
pub(crate) fn folder_name(random: &mut StdRng) -> String {
    format!("d{}", random.random_range(0..4))
}

/// Returns a symlink's target, never outside of the area: it would be used without the area's lock.
pub(crate) fn target(random: &mut StdRng, area: &Path) -> PathBuf {
    if random.random_ratio(1, 2) { any(random, area) } else { PathBuf::from(file_name(random)) }
}

/// The area or a folder in it; now and then up and down again on the way.
fn between(random: &mut StdRng, area: &Path) -> PathBuf {
    let mut path = area.to_owned();
    for _ in 0..random.random_range(0..3) {
        path.push(folder_name(random));
        if random.random_ratio(1, 20) {
            path.push("..");
            path.push(folder_name(random));
        }
    }
    path
}
