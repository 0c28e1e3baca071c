//! Tools that the provider ran for the model, counted from the reply's output items (`OpenAI` Responses).
//!
//! Source: openai-python `types/responses/response_output_item.py`. Only searches are priced each; opening or reading a page that was
//! found is not a search. A container for code and a picture have prices that the items do not tell.

use crate::json::scan::{Field, Found, Value};

/// What the output items say so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Hosted {
    /// Searches of the web.
    pub(super) web_searches: u64,
    /// Searches of stored files.
    pub(super) file_searches: u64,
    /// A tool ran that has a price of its own, which the items do not tell.
    pub(super) has_other: bool,
    open: Item,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Item {
    kind: Kind,
    /// What a search of the web did is no search.
    is_visit: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Kind {
    WebSearch,
    FileSearch,
    Priced,
    #[default]
    Other,
}

impl Hosted {
    /// Takes over what a later list says.
    pub(super) fn overwrite(&mut self, later: Self) {
        if later != Self::default() {
            *self = later;
        }
    }

    pub(super) fn take(&mut self, found: &Found<'_>) {
        let text = match found.value {
            Value::Text { head, .. } => head,
            _ => b"",
        };
        match (found.field, found.value) {
            // The last list counts: a reply tells of its items once.
            (Field::OutputItems, Value::ArrayStart) => *self = Self::default(),
            (Field::OutputItem, Value::ObjectStart) => self.open = Item::default(),
            (Field::OutputItem, Value::ObjectEnd(_)) => match self.open.kind {
                Kind::WebSearch if !self.open.is_visit => self.web_searches = self.web_searches.saturating_add(1),
                Kind::FileSearch => self.file_searches = self.file_searches.saturating_add(1),
                Kind::Priced => self.has_other = true,
                Kind::WebSearch | Kind::Other => {}
            },
            (Field::OutputItemType, _) => {
                self.open.kind = match text {
                    b"web_search_call" => Kind::WebSearch,
                    b"file_search_call" => Kind::FileSearch,
                    b"code_interpreter_call" | b"image_generation_call" => Kind::Priced,
                    _ => Kind::Other,
                };
            }
            (Field::OutputItemAction, Value::Text { .. }) => self.open.is_visit = text != b"search",
            _ => {}
        }
    }
}
