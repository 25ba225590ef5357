//! The names that one file declares and uses.

use std::collections::{BTreeMap, BTreeSet};

use super::lexer::{Token, tokens};

/// A path as written: `crate`, `self` and `super` are kept, and a leading `::` is an empty word.
pub(crate) type Written = Vec<String>;

/// One module: a file, or a block inside one.
#[derive(Debug, Default)]
pub(crate) struct Module {
    /// Declared names: types, functions, macros and so on.
    pub(crate) items: BTreeSet<String>,
    /// Imported names, and whether they are re-exported. A re-export alone is no use of its target.
    pub(crate) imports: BTreeMap<String, Import>,
    /// Modules that are imported with `*`.
    pub(crate) globs: Vec<Import>,
    /// Paths in the code, including single words.
    pub(crate) paths: BTreeSet<Written>,
    /// Modules inside this file.
    pub(crate) blocks: BTreeMap<String, Module>,
}

#[derive(Debug, Clone)]
pub(crate) struct Import {
    pub(crate) path: Written,
    pub(crate) re_exported: bool,
}

pub(crate) fn parse(text: &str) -> Module {
    let tokens = tokens(text);
    let mut module = Module::default();
    Parser { tokens: &tokens, at: 0 }.items(&mut module);
    module
}

/// Words after which a name is declared.
const DECLARE: &[&str] = &["struct", "enum", "trait", "fn", "type", "const", "static", "union"];

struct Parser<'a> {
    tokens: &'a [Token],
    at: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self, ahead: usize) -> &'a str {
        self.tokens.get(self.at + ahead).map_or("", String::as_str)
    }

    fn next(&mut self) -> &'a str {
        self.at += 1;
        self.tokens.get(self.at - 1).map_or("", String::as_str)
    }

    /// Parses up to the end of the file, or of the block whose opening brace has been read.
    fn items(&mut self, module: &mut Module) {
        let mut depth = 0_usize;
        let mut re_exported = false;
        while self.at < self.tokens.len() {
            match self.peek(0) {
                "#" => {
                    if self.attribute() {
                        self.skip_item();
                    }
                }
                "{" => (depth, self.at) = (depth + 1, self.at + 1),
                "}" if depth == 0 => {
                    self.at += 1;
                    return;
                }
                "}" => (depth, self.at) = (depth - 1, self.at + 1),
                "pub" => {
                    re_exported = true;
                    self.at += 1;
                    if self.peek(0) == "(" {
                        self.brackets();
                    }
                    continue;
                }
                // Precise capturing (`impl Trait + use<…>`) is no import.
                "use" if self.peek(1) != "<" => {
                    self.at += 1;
                    self.import(&mut Vec::new(), re_exported, module);
                }
                "mod" => self.module(module),
                "macro_rules" => {
                    let name = self.peek(2).to_owned();
                    module.items.insert(name);
                    self.at += 3;
                }
                "impl" | "for" | "where" | "let" | "use" => self.at += 1,
                word if DECLARE.contains(&word) => {
                    let name = self.peek(1).to_owned();
                    // A name that is declared inside a function or an `impl` is local to it.
                    if depth == 0 {
                        module.items.insert(name);
                    }
                    self.at += if word == "const" && self.peek(1) == "fn" { 1 } else { 2 };
                }
                _ => self.path(module),
            }
            re_exported = false;
        }
    }

    /// `mod name;` or `mod name { … }`.
    fn module(&mut self, module: &mut Module) {
        let name = self.peek(1).to_owned();
        self.at += 2;
        if self.next() == "{" {
            self.items(module.blocks.entry(name).or_default());
        }
    }

    /// Reads an attribute. Returns whether its item is only for tests.
    fn attribute(&mut self) -> bool {
        self.at += 1;
        let is_inner = self.peek(0) == "!";
        if is_inner {
            self.at += 1;
        }
        let begin = self.at;
        self.brackets();
        let inside = &self.tokens[begin..self.at];
        !is_inner && is_for_tests(inside)
    }

    /// Skips from an opening bracket past the closing one.
    fn brackets(&mut self) {
        let mut depth = 0_usize;
        loop {
            match self.next() {
                "(" | "[" | "{" => depth += 1,
                ")" | "]" | "}" => depth -= 1,
                "" => return,
                _ => {}
            }
            if depth == 0 {
                return;
            }
        }
    }

    /// Skips the item, the field or the match arm that begins here.
    fn skip_item(&mut self) {
        let mut is_item = false;
        while self.at < self.tokens.len() {
            match self.peek(0) {
                "#" => _ = self.attribute(),
                word if DECLARE.contains(&word) || matches!(word, "impl" | "mod") => {
                    is_item = true;
                    self.at += 1;
                }
                "," if is_item => self.at += 1,
                "{" => {
                    self.brackets();
                    return;
                }
                "(" | "[" => self.brackets(),
                ";" | "," => {
                    self.at += 1;
                    return;
                }
                "}" | ")" | "]" => return,
                "use" => {
                    while !matches!(self.next(), ";" | "") {}
                    return;
                }
                _ => self.at += 1,
            }
        }
    }

    /// Parses a `use` tree.
    fn import(&mut self, prefix: &mut Written, re_exported: bool, module: &mut Module) {
        let outside = prefix.len();
        loop {
            match self.peek(0) {
                "{" => {
                    self.at += 1;
                    while !matches!(self.peek(0), "}" | ";" | "") {
                        self.import(prefix, re_exported, module);
                        if self.peek(0) == "," {
                            self.at += 1;
                        }
                    }
                    self.at += 1;
                    break;
                }
                "*" => {
                    self.at += 1;
                    module.globs.push(Import { path: prefix.clone(), re_exported });
                    break;
                }
                "::" => {
                    // A leading `::` names an external crate.
                    if prefix.is_empty() {
                        prefix.push(String::new());
                    }
                    self.at += 1;
                }
                ";" | "," | "}" | "" => {
                    let mut path = prefix.clone();
                    if path.last().is_some_and(|last| last == "self") && path.len() > 1 {
                        path.pop();
                    }
                    if let Some(name) = path.last().cloned() {
                        module.imports.insert(name, Import { path, re_exported });
                    }
                    break;
                }
                "as" => {
                    let name = self.peek(1).to_owned();
                    self.at += 2;
                    let mut path = prefix.clone();
                    if path.last().is_some_and(|last| last == "self") && path.len() > 1 {
                        path.pop();
                    }
                    // `as _` uses the trait here, without a name.
                    let name = if name == "_" { format!("_ {}", path.join("::")) } else { name };
                    module.imports.insert(name, Import { path, re_exported });
                    break;
                }
                _ => {
                    let segment = self.next().to_owned();
                    prefix.push(segment);
                }
            }
        }
        prefix.truncate(outside);
        if prefix.is_empty() && self.peek(0) == ";" {
            self.at += 1;
        }
    }

    /// Parses a path in the code, or skips one other token.
    fn path(&mut self, module: &mut Module) {
        let mut path = Vec::new();
        if self.peek(0) == "::" {
            path.push(String::new());
            self.at += 1;
        } else if self.peek(0) == "$" && self.peek(1) == "crate" {
            self.at += 1;
        }
        // A field or a method is not part of a path.
        let follows_dot = self.at > 0 && self.tokens.get(self.at - 1).is_some_and(|before| before == ".");
        loop {
            let word = self.peek(0);
            if !word.starts_with(|character: char| character.is_alphabetic() || character == '_') {
                break;
            }
            path.push(word.to_owned());
            self.at += 1;
            let another = self.peek(1).starts_with(|character: char| character.is_alphabetic() || character == '_');
            if self.peek(0) != "::" || !another {
                break;
            }
            self.at += 1;
        }
        if path.is_empty() {
            self.at += 1;
        } else if !follows_dot {
            module.paths.insert(path);
        }
    }
}

/// Whether an attribute is a `cfg` for tests only: it contains `test` or `fuzzing`, and not inside `not`.
fn is_for_tests(attribute: &[Token]) -> bool {
    if attribute.get(1).is_none_or(|word| word != "cfg") {
        return false;
    }
    let mut negated = Vec::new();
    let mut before = "";
    for token in &attribute[2..] {
        match token.as_str() {
            "(" => negated.push(before == "not"),
            ")" => _ = negated.pop(),
            "test" | "fuzzing" | "doctest" if !negated.contains(&true) => return true,
            _ => {}
        }
        before = token;
    }
    false
}
