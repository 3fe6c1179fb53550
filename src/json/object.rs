//! A JSON object on its way into text, member by member.

use super::push_string;

/// A JSON object that is being written. Names are not compared: whoever writes one twice has written it twice.
#[derive(Debug)]
pub struct ObjectText {
    text: String,
}

impl ObjectText {
    /// An object without a member, with room for so many bytes.
    pub fn new(capacity: usize) -> Self {
        let mut text = String::with_capacity(capacity);
        text.push('{');
        ObjectText { text }
    }

    /// Writes a name; what is appended to the text then is its value.
    fn name(&mut self, name: &str) -> &mut String {
        if self.text.len() > 1 {
            self.text.push(',');
        }
        push_string(&mut self.text, name);
        self.text.push(':');
        &mut self.text
    }

    /// Writes a member whose value is JSON already.
    pub fn raw(&mut self, name: &str, value: &str) {
        self.name(name).push_str(value);
    }

    /// Writes a member that is a string.
    pub fn string(&mut self, name: &str, value: &str) {
        push_string(self.name(name), value);
    }

    /// The object as text.
    pub fn end(mut self) -> String {
        self.text.push('}');
        self.text
    }
}
