//! Tokens, which nothing prints, and the file in which a user hands them over.

use crate::sys;
use serde::de::{Deserialize, Deserializer, Error as _};
use serde::{Serialize, Serializer};
use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The most bytes of a token.
const LONGEST_TOKEN: usize = 16 * 1024;
/// The most bytes of a token file.
const LONGEST_FILE: usize = 64 * 1024;

/// A secret that is sent in a header. It has no `Display`, and its `Debug` is `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// Takes a token as a server gave it: visible ASCII characters, as a header can carry them. `None` for any other
    /// text.
    pub fn new(text: &str) -> Option<Self> {
        let fits = !text.is_empty() && text.len() <= LONGEST_TOKEN && text.bytes().all(|byte| byte.is_ascii_graphic());
        fits.then(|| Token(text.to_owned()))
    }

    /// The secret, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Serialize for Token {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Token {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer).map_err(|_| D::Error::custom("no token"))?;
        Token::new(&text).ok_or_else(|| D::Error::custom("no token"))
    }
}

/// What a user hands over to sign in: `{"access": …, "refresh": …}`; other members are ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenFile {
    /// Goes along with every request, until the server says 401.
    pub access: Token,
    /// Buys the next access token.
    pub refresh: Token,
}

/// Why a token file is not taken. What stands in it is never told.
#[derive(Debug)]
pub enum TokenFileError {
    /// Others can read or write it.
    Exposed(PathBuf),
    /// It cannot be opened or read.
    Io(PathBuf, io::Error),
    /// It is longer than any token.
    TooLong,
    /// It is no JSON object.
    NotJson,
    /// This member is missing, or is no token.
    Member(&'static str),
}

impl fmt::Display for TokenFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TokenFileError::Exposed(path) => write!(
                f,
                "others can read the token file {}; run `chmod 600 {}`, and think of the tokens as known to them",
                path.display(),
                quoted(path)
            ),
            TokenFileError::Io(path, error) => write!(f, "the token file {} cannot be read: {error}", path.display()),
            TokenFileError::TooLong => write!(f, "the tokens are longer than {} KiB", LONGEST_FILE / 1024),
            TokenFileError::NotJson => {
                f.write_str("the tokens are no JSON object; it looks like {\"access\": \"…\", \"refresh\": \"…\"}")
            }
            TokenFileError::Member(name) => {
                write!(
                    f,
                    "`{name}` is missing or no token; the tokens look like {{\"access\": \"…\", \"refresh\": \"…\"}}"
                )
            }
        }
    }
}

impl std::error::Error for TokenFileError {}

impl TokenFile {
    /// Reads a file that is nobody else's to read.
    ///
    /// # Errors
    /// It cannot be read, others can, or there are no tokens in it.
    pub fn read(path: &Path) -> Result<Self, TokenFileError> {
        let failed = |error| TokenFileError::Io(path.to_owned(), error);
        // A secret that a container mounts is a link. What is checked is what was opened.
        let real = path.canonicalize().map_err(failed)?;
        let file = sys::open_private_named(&real).map_err(failed)?;
        let file = file.ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
        if sys::Owner::of_open(&file).map_err(failed)?.mode & 0o077 != 0 {
            return Err(TokenFileError::Exposed(path.to_owned()));
        }
        Self::parse(&sys::read_capped(&file, LONGEST_FILE).map_err(failed)?)
    }

    /// Reads standard input, or whatever else a token is piped through.
    ///
    /// # Errors
    /// It cannot be read, or there are no tokens in it.
    pub fn from_reader(reader: impl Read) -> Result<Self, TokenFileError> {
        let mut bytes = Vec::new();
        let limit = u64::try_from(LONGEST_FILE).unwrap_or(u64::MAX).saturating_add(1);
        let read = reader.take(limit).read_to_end(&mut bytes);
        read.map_err(|error| TokenFileError::Io(PathBuf::from("-"), error))?;
        Self::parse(&bytes)
    }

    fn parse(bytes: &[u8]) -> Result<Self, TokenFileError> {
        if bytes.len() > LONGEST_FILE {
            return Err(TokenFileError::TooLong);
        }
        let read: Result<serde_json::Map<String, serde_json::Value>, _> = serde_json::from_slice(bytes);
        let members = read.map_err(|_| TokenFileError::NotJson)?;
        let token = |name| members.get(name).and_then(|value| Token::new(value.as_str()?));
        let token = |name| token(name).ok_or(TokenFileError::Member(name));
        Ok(TokenFile { access: token("access")?, refresh: token("refresh")? })
    }
}

/// A path as a shell takes it.
pub(super) fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+,:@%".contains(&byte);
    if !text.is_empty() && !text.starts_with('-') && text.bytes().all(plain) {
        return text.into_owned();
    }
    let text = if text.starts_with('-') { format!("./{text}") } else { text.into_owned() };
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

    const TOKENS: &str = r#"{"access": "a.b-c_d", "refresh": "r==", "team": "demo"}"#;

    fn file(text: impl AsRef<[u8]>, mode: u32) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.json");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        (folder, path)
    }

    #[test]
    fn a_token_is_not_printed() {
        let token = Token::new("very-secret").unwrap();
        assert_eq!(format!("{token:?} {:#?}", Some(&token)), "*** Some(\n    ***,\n)");
        let file = TokenFile::from_reader(TOKENS.as_bytes()).unwrap();
        assert_eq!(format!("{file:?}"), "TokenFile { access: ***, refresh: *** }");
        assert_eq!(file.access.expose(), "a.b-c_d");
    }

    #[test]
    fn a_token_fits_in_a_header() {
        for text in ["", " ", "a b", "a\n", "a\r\nX-Evil: 1", "\u{e9}", "a\0"] {
            assert!(Token::new(text).is_none(), "{text:?}");
        }
        assert!(Token::new(&"x".repeat(LONGEST_TOKEN)).is_some());
        assert!(Token::new(&"x".repeat(LONGEST_TOKEN + 1)).is_none());
    }

    #[test]
    fn a_file_that_others_can_read_is_refused_with_what_to_do() {
        for mode in [0o640, 0o604, 0o660, 0o602, 0o610, 0o777] {
            let (_folder, path) = file(TOKENS, mode);
            let error = TokenFile::read(&path).unwrap_err();
            assert!(matches!(error, TokenFileError::Exposed(_)), "{mode:o}: {error}");
            assert!(error.to_string().contains(&format!("`chmod 600 {}`", path.display())), "{error}");
        }
        for mode in [0o600, 0o400] {
            let (folder, path) = file(TOKENS, mode);
            assert_eq!(TokenFile::read(&path).unwrap().refresh.expose(), "r==");
            let link = folder.path().join("link");
            symlink(&path, &link).unwrap();
            assert!(TokenFile::read(&link).is_ok());
        }
    }

    #[test]
    fn what_is_no_token_file_is_told_without_its_content() {
        let long = format!(r#"{{"access": "SECRET", "refresh": "{}"}}"#, "x".repeat(LONGEST_FILE));
        for (text, told) in [
            ("", "no JSON object"),
            ("SECRET", "no JSON object"),
            ("[\"SECRET\"]", "no JSON object"),
            ("{\"access\": \"SECRET", "no JSON object"),
            ("{\"access\": \"SECRET\"} x", "no JSON object"),
            ("{\"access\": \"SECRET\"}", "`refresh` is missing"),
            ("{\"refresh\": \"SECRET\"}", "`access` is missing"),
            ("{\"access\": \"SECRET\", \"refresh\": 1}", "`refresh` is missing or no token"),
            ("{\"access\": \"SECRET\\n\", \"refresh\": \"SECRET\"}", "`access` is missing or no token"),
            (&long, "longer than 64 KiB"),
        ] {
            let (_folder, path) = file(text, 0o600);
            for error in [TokenFile::read(&path), TokenFile::from_reader(text.as_bytes())] {
                let error = error.unwrap_err();
                let all = format!("{error} {error:?}");
                assert!(all.contains(told) || error.to_string().contains(told), "{all}");
                assert!(!all.contains("SECRET"), "{all}");
            }
        }
        let (folder, _path) = file("", 0o600);
        assert!(TokenFile::read(&folder.path().join("absent")).unwrap_err().to_string().contains("cannot be read"));
        assert!(TokenFile::read(folder.path()).unwrap_err().to_string().contains("no file"));
    }

    #[test]
    fn a_path_is_quoted_as_a_shell_needs_it() {
        for (path, text) in
            [("/a/b.json", "/a/b.json"), ("a b", "'a b'"), ("it's", r"'it'\''s'"), ("-x", "'./-x'"), ("", "''")]
        {
            assert_eq!(quoted(Path::new(path)), text);
        }
    }
}
