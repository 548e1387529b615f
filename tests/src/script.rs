//! Scripts of kubectl commands with the output each must have: read from text, run one after another, compared line by line.
//!
//! ```text
//! ## comment
//! $ get configmap c -o name        must succeed; what follows is all it prints, standard error after standard output
//! configmap/c
//! ! get configmap none             must fail
//! Error from server (NotFound): configmaps "none" not found
//! ~ get pod p -o name              must succeed, but is asked again until it does and prints this (or a minute has passed)
//! $ apply -f -
//! < {"kind": …}                    standard input
//! & get configmaps -w              goes on while the next steps run, as soon as it has printed what follows
//! NAME DATA AGE
//! = get configmaps -w              what it must have printed in all, sooner or later; then it is ended
//! ```
//! In expected lines `…` stands for any text; a line that is only `…` for any number of lines. Runs of blanks count as one.
//! `%ns%` is the script's namespace, `%dir%` a directory of its own; `%name = text` at the start of a line writes a file there, and more such lines go on with it.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};

use crate::machine;

/// How long `~` asks.
const PATIENCE: Duration = Duration::from_secs(60);
const ANY: char = '…';

/// One command and what it must print.
#[derive(Debug, Default, PartialEq, Eq)]
struct Step {
    line: usize,
    mark: char,
    command: String,
    input: String,
    expected: Vec<String>,
    files: Vec<(String, String)>,
}

/// A command that goes on while later steps run; ended when dropped.
#[derive(Debug)]
struct Background {
    command: String,
    child: Child,
    /// Files that it prints to: standard output and standard error.
    said: [PathBuf; 2],
}

impl Background {
    fn begin(step: &Step, mut command: Command, directory: &Path) -> anyhow::Result<Self> {
        let said = ["out", "err"].map(|stream| directory.join(format!(".line-{}.{stream}", step.line)));
        let [out, err] = &said;
        let (out, err) = (File::create(out)?, File::create(err)?);
        let child = command.stdin(Stdio::null()).stdout(out).stderr(err).spawn().context("start kubectl")?;
        Ok(Self { command: step.command.clone(), child, said })
    }

    /// Waits until it has printed what the step expects, and no more.
    fn says(&self, step: &Step) -> anyhow::Result<()> {
        machine::eventually(PATIENCE, || {
            let said = self.said.iter().map(std::fs::read_to_string).collect::<Result<String, _>>()?;
            compare(step, &said)
        })
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A script of a topic: its own namespace and directory.
#[derive(Debug)]
pub struct Script<'a> {
    /// What it is about; names the namespace.
    pub topic: &'a str,
    /// The steps.
    pub text: &'a str,
    /// Words between `%` signs, and what they stand for.
    pub variables: &'a [(&'a str, &'a str)],
}

impl Script<'_> {
    /// Runs the steps in a namespace of the script's own, which goes away afterwards.
    ///
    /// # Errors
    /// With every step that printed something else, and both texts.
    pub fn run(&self, kubectl: impl Fn(&[&str]) -> Command) -> anyhow::Result<()> {
        let directory = std::env::temp_dir().join(machine::random_name(&format!("skep-{}-", self.topic)));
        std::fs::create_dir_all(&directory)?;
        machine::output(&mut kubectl(&["create", "namespace", self.topic]))?;
        let result = self.steps(&kubectl, &directory);
        std::fs::remove_dir_all(&directory)?;
        machine::output(&mut kubectl(&["delete", "namespace", self.topic, "--wait=false"]))?;
        result
    }

    /// Runs all steps, also after a failed one: a script's failures are seen together.
    fn steps(&self, kubectl: &impl Fn(&[&str]) -> Command, directory: &Path) -> anyhow::Result<()> {
        let mut text = self.text.replace("%dir%", &directory.display().to_string()).replace("%ns%", self.topic);
        for (name, value) in self.variables {
            text = text.replace(&format!("%{name}%"), value);
        }
        let (mut failures, mut running) = (Vec::new(), Vec::<Background>::new());
        for step in parse(&text)? {
            let at = || format!("{} line {}: kubectl {}", self.topic, step.line, step.command);
            for (name, content) in &step.files {
                let path = directory.join(name);
                std::fs::write(&path, content)?;
                if content.starts_with("#!") {
                    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
                }
            }
            let words = split(&step.command).with_context(at)?;
            let args: Vec<&str> = ["-n", self.topic].into_iter().chain(words.iter().map(String::as_str)).collect();
            let once = || {
                let mut command = kubectl(&args);
                command.env("KUBE_EDITOR", directory.join("editor"));
                check(&step, &mut command)
            };
            let result = match step.mark {
                '~' => machine::eventually(PATIENCE, once),
                '&' => Background::begin(&step, kubectl(&args), directory).and_then(|begun| {
                    running.push(begun);
                    running.last().map_or(Ok(()), |begun| begun.says(&step))
                }),
                '=' => {
                    let at = running.iter().position(|begun| begun.command == step.command);
                    at.context("not begun").and_then(|at| running.swap_remove(at).says(&step))
                }
                _ => once(),
            };
            failures.extend(result.with_context(at).err().map(|error| format!("{error:#}")));
        }
        ensure!(failures.is_empty(), "{}", failures.join("\n\n"));
        Ok(())
    }
}

/// Runs one step once.
fn check(step: &Step, command: &mut Command) -> anyhow::Result<()> {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().context("start kubectl")?;
    let mut stdin = child.stdin.take().context("no standard input")?;
    // A command that reads nothing may be gone already.
    drop(stdin.write_all(step.input.as_bytes()));
    drop(stdin);
    let out = child.wait_with_output()?;
    let said = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    let wanted = step.mark != '!';
    ensure!(out.status.success() == wanted, "{}, it said:\n{said}", out.status);
    compare(step, &said)
}

/// Whether this is what the step expects.
fn compare(step: &Step, said: &str) -> anyhow::Result<()> {
    let lines: Vec<&str> = said.lines().map(str::trim_end).collect();
    ensure!(matches(&step.expected, &lines), "expected:\n{}\ngot:\n{said}", step.expected.join("\n"));
    Ok(())
}

fn parse(text: &str) -> anyhow::Result<Vec<Step>> {
    let (mut steps, mut files): (Vec<Step>, Vec<(String, String)>) = (Vec::new(), Vec::new());
    for (number, line) in text.lines().enumerate() {
        if line.starts_with("## ") {
            continue;
        }
        let (mark, rest) = line.split_at_checked(1).unwrap_or((line, ""));
        // These two begin lines of output, too.
        let mark = if matches!(mark, "&" | "=") && !rest.starts_with(' ') { "" } else { mark };
        match mark {
            "$" | "!" | "~" | "&" | "=" => steps.push(Step {
                line: number + 1,
                mark: mark.chars().next().unwrap_or_default(),
                command: rest.trim().to_owned(),
                files: std::mem::take(&mut files),
                ..Step::default()
            }),
            "%" if !rest.starts_with(' ') => {
                let (name, content) = rest.split_once(" = ").with_context(|| format!("line {}: a file", number + 1))?;
                match files.iter_mut().find(|(known, _)| known == name) {
                    Some((_, text)) => text.extend([content, "\n"]),
                    None => files.push((name.to_owned(), format!("{content}\n"))),
                }
            }
            "<" => {
                let step = steps.last_mut().context("input before a command")?;
                step.input.push_str(rest.strip_prefix(' ').unwrap_or(rest));
                step.input.push('\n');
            }
            _ => match steps.last_mut() {
                Some(step) if !line.is_empty() => step.expected.push(line.trim_end().to_owned()),
                None if !line.is_empty() => bail!("line {}: output before a command", number + 1),
                _ => {}
            },
        }
    }
    Ok(steps)
}

/// Words as a shell splits them: single and double quotes, no expansion.
fn split(command: &str) -> anyhow::Result<Vec<String>> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for letter in command.chars() {
        match (quote, letter) {
            (Some(open), _) if letter == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None, ' ') => words.extend(word.take()),
            _ => word.get_or_insert_default().push(letter),
        }
    }
    ensure!(quote.is_none(), "a quote is not closed: {command}");
    words.extend(word);
    Ok(words)
}

/// Whether the lines are what is expected; empty lines do not count.
fn matches(expected: &[String], lines: &[&str]) -> bool {
    let lines: Vec<&str> = lines.iter().copied().filter(|line| !line.is_empty()).collect();
    match_lines(expected, &lines)
}

fn match_lines(expected: &[String], lines: &[&str]) -> bool {
    let Some((first, rest)) = expected.split_first() else { return lines.is_empty() };
    if first.trim() == "…" {
        return (0..=lines.len()).any(|skipped| match_lines(rest, lines.get(skipped..).unwrap_or_default()));
    }
    lines.split_first().is_some_and(|(line, more)| match_line(first, line) && match_lines(rest, more))
}

fn match_line(expected: &str, line: &str) -> bool {
    let plain = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (expected, mut line) = (plain(expected), plain(line));
    let mut parts = expected.split(ANY);
    let first = parts.next().unwrap_or_default();
    let Some(rest) = line.strip_prefix(first) else { return false };
    line = rest.to_owned();
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return line.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return line.ends_with(part);
        }
        let Some(at) = line.find(part) else { return false };
        line = line.get(at + part.len()..).unwrap_or_default().to_owned();
    }
    true
}

#[cfg(test)]
mod tests {
    use super::{match_line, matches, parse, split};

    #[test]
    fn words_are_split_as_a_shell_does() {
        assert_eq!(
            split(r#"patch x -p '{"a": "b c"}' --e="" y"#).unwrap(),
            ["patch", "x", "-p", r#"{"a": "b c"}"#, "--e=", "y"]
        );
        assert!(split("a 'b").is_err());
    }

    #[test]
    fn an_ellipsis_stands_for_any_text_or_lines() {
        assert!(match_line("NAME   AGE", "NAME AGE"));
        assert!(match_line("pod/… created", "pod/x created"));
        assert!(match_line("a…", "abc") && match_line("…c", "abc") && !match_line("…b", "abc"));
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        assert!(matches(&lines("a\n…\nd"), &["a", "b", "", "c", "d"]));
        assert!(!matches(&lines("a\n…\nd"), &["a", "b"]));
    }

    #[test]
    fn a_background_mark_is_followed_by_a_space() {
        let steps = parse("& get x -w\nData\n====\n= get x -w\nData\n").unwrap();
        let [begun, ended] = steps.as_slice() else { panic!("{steps:?}") };
        assert_eq!((begun.mark, ended.mark, begun.command == ended.command), ('&', '=', true));
        assert_eq!(begun.expected, ["Data", "===="]);
    }

    #[test]
    fn steps_have_input_files_and_output() {
        let steps = parse("## about\n%f = one\n%f = two\n$ create -f -\n< {\nx created\n\n! get y\n").unwrap();
        let [create, get] = steps.as_slice() else { panic!("{steps:?}") };
        assert_eq!((create.input.as_str(), create.mark, get.mark), ("{\n", '$', '!'));
        assert_eq!(create.files, [("f".to_owned(), "one\ntwo\n".to_owned())]);
        assert_eq!(create.expected, ["x created"]);
    }
}
