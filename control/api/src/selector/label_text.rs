//! Reads the text form of label selectors; from URLs; to [`super::LabelSelector`]; pure.

use super::{LabelRequirement, Operator};

/// A token; operators in words count as such only where an operator may stand.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Symbol(&'static str),
    End,
}

impl Token {
    fn text(&self) -> &str {
        match self {
            Self::Word(word) => word,
            Self::Symbol(symbol) => symbol,
            Self::End => "",
        }
    }
}

const SYMBOLS: [&str; 9] = ["==", "!=", "=", "!", "(", ")", ",", ">", "<"];

pub(super) fn parse(text: &str) -> Result<Vec<LabelRequirement>, String> {
    let mut parser = Parser { tokens: tokens(text), at: 0 };
    let mut requirements = Vec::new();
    loop {
        match parser.peek() {
            Token::Word(_) | Token::Symbol("!") => {
                requirements.push(parser.requirement().map_err(|why| format!("unable to parse requirement: {why}"))?);
                let after = parser.take();
                if after == Token::End {
                    return Ok(requirements);
                }
                if after != Token::Symbol(",") {
                    return Err(format!("found '{}', expected: ',' or 'end of string'", after.text()));
                }
                let next = parser.peek();
                if !matches!(next, Token::Word(_) | Token::Symbol("!")) {
                    return Err(format!("found '{}', expected: identifier after ','", next.text()));
                }
            }
            Token::End => return Ok(requirements),
            other @ Token::Symbol(_) => {
                return Err(format!("found '{}', expected: !, identifier, or 'end of string'", other.text()));
            }
        }
    }
}

fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', '\r', '\n']);
        if rest.is_empty() {
            return tokens;
        }
        if let Some(symbol) = SYMBOLS.iter().find(|s| rest.starts_with(**s)) {
            tokens.push(Token::Symbol(symbol));
            rest = rest.get(symbol.len()..).unwrap_or_default();
        } else {
            let end = rest.find([' ', '\t', '\r', '\n', '=', '!', '(', ')', ',', '>', '<']).unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            tokens.push(Token::Word(word.to_owned()));
            rest = after;
        }
    }
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
}

impl Parser {
    fn peek(&self) -> Token {
        self.tokens.get(self.at).cloned().unwrap_or(Token::End)
    }

    fn take(&mut self) -> Token {
        let token = self.peek();
        self.at += 1;
        token
    }

    fn requirement(&mut self) -> Result<LabelRequirement, String> {
        let mut token = self.take();
        let absent = token == Token::Symbol("!");
        if absent {
            token = self.take();
        }
        let Token::Word(key) = token else { return Err(format!("found '{}', expected: identifier", token.text())) };
        // The key is checked first, with the words that a whole requirement would give.
        LabelRequirement::new(&key, Operator::Exists, Vec::new())?;
        if absent {
            return LabelRequirement::new(&key, Operator::DoesNotExist, Vec::new());
        }
        if matches!(self.peek(), Token::End | Token::Symbol(",")) {
            return LabelRequirement::new(&key, Operator::Exists, Vec::new());
        }
        let token = self.take();
        let (operator, set) = match token.text() {
            "in" => (Operator::In, true),
            "notin" => (Operator::NotIn, true),
            "=" | "==" => (Operator::In, false),
            "!=" => (Operator::NotIn, false),
            ">" => (Operator::GreaterThan, false),
            "<" => (Operator::LessThan, false),
            other => return Err(format!("found '{other}', expected: in, notin, =, ==, !=, gt, lt")),
        };
        let values = if set { self.set()? } else { vec![self.value()?] };
        let requirement = LabelRequirement::new(&key, operator, values)?;
        Ok(LabelRequirement { equality: !set, ..requirement })
    }

    fn value(&mut self) -> Result<String, String> {
        match self.peek() {
            Token::End | Token::Symbol(",") => Ok(String::new()),
            Token::Word(word) => {
                self.at += 1;
                Ok(word)
            }
            other @ Token::Symbol(_) => Err(format!("found '{}', expected: identifier", other.text())),
        }
    }

    /// `(a,b)`; an empty place means the empty value.
    fn set(&mut self) -> Result<Vec<String>, String> {
        let open = self.take();
        if open != Token::Symbol("(") {
            return Err(format!("found '{}' expected: '('", open.text()));
        }
        let mut values = Vec::new();
        loop {
            match self.take() {
                Token::Word(word) => {
                    values.push(word);
                    let after = self.take();
                    if after == Token::Symbol(")") {
                        return Ok(values);
                    }
                    if after != Token::Symbol(",") {
                        return Err(format!("found '{}', expected: ',' or ')'", after.text()));
                    }
                    if self.peek() == Token::Symbol(")") {
                        values.push(String::new());
                    }
                }
                Token::Symbol(",") => {
                    values.push(String::new());
                    if self.peek() == Token::Symbol(")") {
                        values.push(String::new());
                    }
                }
                Token::Symbol(")") => {
                    if values.is_empty() {
                        values.push(String::new());
                    }
                    return Ok(values);
                }
                other @ (Token::Symbol(_) | Token::End) => {
                    return Err(format!("found '{}', expected: ',', ')' or identifier", other.text()));
                }
            }
        }
    }
}
