//! The editor of whoever is asked, on a file of its own that is gone afterwards.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::codec::lines::LINE_BYTES_MAX;

/// Lets a person edit a text, with `$VISUAL` or `$EDITOR`.
pub(super) fn edit(text: &str) -> Result<String, String> {
    let set = |name: &str| std::env::var(name).ok().filter(|editor| !editor.trim().is_empty());
    let editor = set("VISUAL").or_else(|| set("EDITOR"));
    let editor =
        editor.ok_or("no editor is known; set VISUAL or EDITOR, or use `resolve --modify STATE_JSON`")?;
    let draft = Draft::of(text)?;
    let status = command(&editor, &draft.0).status().map_err(|error| format!("{editor}: {error}"))?;
    if !status.success() {
        return Err(format!("{editor} ended with {status}"));
    }
    draft.read()
}

/// An editor's name may come with arguments, in the shell's way.
#[cfg(unix)]
fn command(editor: &str, path: &Path) -> Command {
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("{editor} \"$@\"")).arg(editor).arg(path);
    command
}

/// An editor's name may come with arguments, parted by spaces.
#[cfg(not(unix))]
fn command(editor: &str, path: &Path) -> Command {
    let mut parts = editor.split_whitespace();
    let mut command = Command::new(parts.next().unwrap_or(editor));
    command.args(parts).arg(path);
    command
}

/// A file that nobody else may read, gone when it is no longer used.
struct Draft(PathBuf);

impl Draft {
    fn of(text: &str) -> Result<Self, String> {
        let path = std::env::temp_dir().join(format!("foldlog-{}.json", uuid::Uuid::new_v4()));
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let named = |error: std::io::Error| format!("{}: {error}", path.display());
        let mut file = options.open(&path).map_err(named)?;
        let draft = Draft(path.clone());
        file.write_all(text.as_bytes()).map_err(named)?;
        Ok(draft)
    }

    fn read(&self) -> Result<String, String> {
        let named = |why: String| format!("{}: {why}", self.0.display());
        let max = u64::try_from(LINE_BYTES_MAX).unwrap_or(u64::MAX);
        let mut text = String::new();
        let file = File::open(&self.0).map_err(|error| named(error.to_string()))?;
        let read = file.take(max.saturating_add(1)).read_to_string(&mut text);
        match read.map_err(|error| named(error.to_string()))? {
            bytes if bytes > LINE_BYTES_MAX => Err(named(format!("longer than {LINE_BYTES_MAX} bytes"))),
            _ => Ok(text),
        }
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
