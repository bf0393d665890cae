//! The `.env` file: read by a library's rules, and refused by line, without a word of what stands there.

use std::cell::Cell;
use std::collections::HashMap;
use std::ffi::OsString;
use std::io::Read;
use std::path::Path;

use crate::cli::Failure;

/// The variables of a `.env` file, or none when there is no file.
pub fn read(path: &Path) -> Result<HashMap<String, OsString>, Failure> {
    let unreadable = |error: std::io::Error| Failure::Failed(format!(".env cannot be read: {error}"));
    match path.metadata() {
        Ok(kind) if kind.is_file() => {}
        Ok(kind) if kind.is_dir() => return Err(Failure::Usage(".env is a folder, and no file".to_owned())),
        // A pipe would be waited for without end.
        Ok(_) => return Err(Failure::Usage(".env is no regular file".to_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(HashMap::new()),
        Err(error) => return Err(unreadable(error)),
    }
    let text = String::from_utf8(std::fs::read(path).map_err(unreadable)?).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = valid.iter().filter(|byte| **byte == b'\n').count() + 1;
        Failure::Usage(format!(".env: line {line} is no UTF-8"))
    })?;
    let consumed = Cell::new(0);
    let mut values = HashMap::new();
    for entry in dotenvy::from_read_iter(Lines { rest: format!("{text}\n").into_bytes(), consumed: &consumed }) {
        // The line itself may hold a secret.
        let (name, value) = entry.map_err(|error| {
            let dotenvy::Error::LineParse(part, _) = error else { return Failure::Usage(format!(".env: {error}")) };
            let line = consumed.get() + 1 - part.lines().count().max(1);
            // Only what never came to its end still has the end of its line.
            let what =
                if part.ends_with('\n') { "opens a quote that is not closed" } else { "is not of the form NAME=value" };
            Failure::Usage(format!(".env: line {line} {what}"))
        })?;
        values.insert(name, OsString::from(value));
    }
    Ok(values)
}

/// Gives a line at a time, and counts: whoever reads by lines is then no further than that.
struct Lines<'a> {
    rest: Vec<u8>,
    consumed: &'a Cell<usize>,
}

impl Read for Lines<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let end = self.rest.iter().position(|byte| *byte == b'\n').map_or(self.rest.len(), |at| at + 1);
        let most = end.min(into.len());
        into[..most].copy_from_slice(&self.rest[..most]);
        self.consumed.set(self.consumed.get() + usize::from(most > 0 && most == end));
        self.rest.drain(..most);
        Ok(most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_env_file_is_read_and_a_broken_line_is_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".env");
        std::fs::write(&path, "# comment\nCORPUSD_PORT=81\nexport DB_ECHO='true'\n").unwrap();
        let values = read(&path).unwrap();
        assert_eq!(values.get("CORPUSD_PORT"), Some(&OsString::from("81")));
        assert_eq!(values.get("DB_ECHO"), Some(&OsString::from("true")));
        std::fs::write(&path, "PINECONE API_KEY=secret\n").unwrap();
        let told = read(&path).unwrap_err().to_string();
        assert_eq!(told, ".env: line 1 is not of the form NAME=value");
        for (text, wrong) in [
            (
                &b"# comment\n\nA=1\nB='x\ny'\nPINECONE API_KEY=secret\nC=2\n"[..],
                "line 6 is not of the form NAME=value",
            ),
            (b"A=1\n# more\nPINECONE_API_KEY=\"secret\nC=2\n", "line 3 opens a quote that is not closed"),
            (b"A=1\nB='secret", "line 2 opens a quote that is not closed"),
            (b"A=1\nB=secret\xff\n", "line 2 is no UTF-8"),
        ] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(read(&path).unwrap_err().to_string(), format!(".env: {wrong}"));
        }
        std::fs::write(&path, "A=1 ").unwrap();
        assert_eq!(read(&path).unwrap().len(), 1);
        assert_eq!(read(folder.path()).unwrap_err().to_string(), ".env is a folder, and no file");
        assert_eq!(read(&folder.path().join("none")), Ok(HashMap::new()));
    }
}
