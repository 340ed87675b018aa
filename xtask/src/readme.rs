//! The first Rust example of a README as a program.

/// A README's first block of Rust code as a program: as it is where it has a `main`, else inside one that may fail. `None`
/// where there is no such block, or where it says that it can't run.
pub(crate) fn program(readme: &str) -> Option<String> {
    let mut lines = readme.lines().skip_while(|line| !line.starts_with("```rust"));
    if lines.next()?.trim_end() != "```rust" {
        return None;
    }
    // As in documentation: "# " begins a line that readers of the rendered page don't see.
    let shown =
        |line: &str| line.strip_prefix("# ").unwrap_or(if line == "#" { "" } else { line }).to_owned();
    let code: Vec<String> = lines.take_while(|line| !line.starts_with("```")).map(shown).collect();
    let code = code.join("\n");
    if code.contains("fn main()") {
        return Some(code);
    }
    let end = if code.contains("Ok::<(), ") { "" } else { "Ok(())\n" };
    Some(format!("fn main() -> Result<(), Box<dyn std::error::Error>> {{\n{code}\n{end}}}\n"))
}

#[cfg(test)]
mod tests {
    use super::program;

    #[test]
    fn code_becomes_a_program() {
        let readme = "# a\n```sh\nls\n```\n```rust\nlet x = 1;\n# let y = x;\n```\n```rust\nnot this\n```\n";
        let expected =
            "fn main() -> Result<(), Box<dyn std::error::Error>> {\nlet x = 1;\nlet y = x;\nOk(())\n}\n";
        assert_eq!(program(readme).as_deref(), Some(expected));
        assert_eq!(program("```rust\nfn main() {}\n```").as_deref(), Some("fn main() {}"));
        assert_eq!(program("```rust,no_run\nf()\n```"), None);
        assert_eq!(program("words"), None);
    }
}
