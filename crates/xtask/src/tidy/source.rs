//! Rules about one Rust file, read as text: good enough to catch what slips in, cheap to run.

use super::Finding;

const MAX_FILE_LINES: usize = 500;
const MAX_WIDTH: usize = 100;

const BANNED_SUFFIXES: [&str; 9] =
    ["Manager", "Helper", "Util", "Common", "Processor", "Base", "Impl", "Data", "Info"];
const BANNED_MODULES: [&str; 6] = ["util", "utils", "helpers", "common", "types", "traits"];

/// The only modules in which `unsafe` may stand.
const UNSAFE_MODULES: [&str; 3] = [
    "crates/foretaste-bundle/src/mmap.rs",
    "crates/foretaste-bundle/src/kernels",
    "crates/foretaste-ingest/src/tables/digest.rs",
];

/// Names that never belong into a line of code, with what to do instead. Written in halves so
/// that this file does not break its own rule.
const BANNED_WORDS: [(&str, &str); 4] = [
    (concat!("#[ig", "nore"), "a test runs or is deleted"),
    (concat!("todo", "!("), "write it or leave it out"),
    (concat!("FIX", "ME"), "mend it or say in an issue what is wrong"),
    (concat!("unimple", "mented!("), "write it or leave it out"),
];

/// All findings in the file `path` with the given text.
pub fn check_source(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut report = |line: usize, rule: &'static str, message: String| {
        findings.push(Finding { path: path.to_owned(), line, rule, message });
    };
    let is_test = is_test_file(path);
    let counted = if is_test { 0 } else { lines_without_tests(text) };
    if counted > MAX_FILE_LINES {
        report(
            0,
            "file-length",
            format!("{counted} lines without tests, {MAX_FILE_LINES} allowed"),
        );
    }
    if !is_test && !text.trim_start().starts_with("//!") {
        report(1, "module-doc", "starts without a //! that says what the module is".to_owned());
    }
    for (at, line) in text.lines().enumerate() {
        check_line(path, line, &mut |rule, message| report(at + 1, rule, message));
    }
    findings
}

fn check_line(path: &str, line: &str, report: &mut impl FnMut(&'static str, String)) {
    if line.chars().count() > MAX_WIDTH && !is_test_file(path) {
        report("width", format!("{} columns, {MAX_WIDTH} allowed", line.chars().count()));
    }
    let code = line.trim_start();
    if code.starts_with("//") {
        return;
    }
    for (word, instead) in BANNED_WORDS.iter().filter(|(word, _)| code.contains(word)) {
        report("banned", format!("`{word}`: {instead}"));
    }
    if code.contains("use ") && code.ends_with("::*;") && code.trim() != "use super::*;" {
        report("glob", "glob import: name what is used".to_owned());
    }
    if code.contains("unsafe {") || code.contains("unsafe fn") || code.contains("unsafe impl") {
        let allowed = UNSAFE_MODULES.iter().any(|m| path.starts_with(m));
        if !allowed && !path.contains("xtask") {
            report("unsafe", "unsafe outside the modules that may have it".to_owned());
        }
    }
    if let Some(name) = declared_name(code, &["struct ", "enum ", "trait "])
        && !is_test_file(path)
        && BANNED_SUFFIXES.iter().any(|s| name.ends_with(s))
    {
        report("name", format!("`{name}` says nothing about its duty"));
    }
    if let Some(name) = declared_name(code, &["mod "])
        && BANNED_MODULES.contains(&name)
    {
        report("name", format!("module `{name}` would hold anything"));
    }
}

fn declared_name<'a>(code: &'a str, keywords: &[&str]) -> Option<&'a str> {
    let code = code.strip_prefix("pub(crate) ").or(code.strip_prefix("pub ")).unwrap_or(code);
    let rest = keywords.iter().find_map(|k| code.strip_prefix(k))?;
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    Some(&rest[..end])
}

fn is_test_file(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/") || path.contains("/examples/")
}

fn lines_without_tests(text: &str) -> usize {
    let end = text.find("#[cfg(test)]\nmod tests").map_or(text.len(), |at| at);
    text[..end].lines().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn rules(path: &str, text: &str, expected: &[&str]) {
        let found: Vec<_> = check_source(path, text).into_iter().map(|f| f.rule).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn each_rule_fires_and_only_where_it_should() {
        let doc = "//! Doc.\n";
        rules("a/src/x.rs", doc, &[]);
        rules("a/src/x.rs", "fn f() {}\n", &["module-doc"]);
        rules("a/tests/it/main.rs", "fn f() {}\n", &[]);
        rules("a/src/x.rs", &format!("{doc}use foo::*;\n"), &["glob"]);
        rules("a/src/x.rs", &format!("{doc}use super::*;\n"), &[]);
        rules("a/src/x.rs", &format!("{doc}pub struct CacheManager;\n"), &["name"]);
        rules("a/src/x.rs", &format!("{doc}mod utils;\n"), &["name"]);
        rules("a/src/x.rs", &format!("{doc}{}\n", "// long ".repeat(20)), &["width"]);
        let code = format!("{doc}{} {{ }}\n", "unsafe");
        rules("a/src/x.rs", &code, &["unsafe"]);
        rules("crates/foretaste-bundle/src/kernels/dot.rs", &code, &[]);
        rules("a/src/x.rs", &format!("{doc}{}", "// x\n".repeat(501)), &["file-length"]);
    }

    #[test]
    fn tests_at_the_end_of_a_file_do_not_count_as_length() {
        let text = format!("//! D.\n#[cfg(test)]\nmod tests {{\n{}}}\n", "// x\n".repeat(600));
        rules("a/src/x.rs", &text, &[]);
    }
}
