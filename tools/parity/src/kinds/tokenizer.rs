//! `tokenizer`: prompt cleaning and token ids, from both kinds of tokenizer file.

use anyhow::{Context, Result, ensure};
use encoders::umt5::Tokenizer;
use testkit::{Case, Checker};

pub(super) fn run(case: &Case, check: &mut Checker<'_>) -> Result<()> {
    let len = case.config()["seq_len"].as_u64().context("seq_len")? as usize;
    let json = Tokenizer::from_json(&std::fs::read(case.dir.join("tokenizer.json"))?)?;
    let spiece = Tokenizer::from_sentencepiece(&std::fs::read(case.dir.join("spiece.model"))?)?;
    let (mut ids, mut mask) = (Vec::new(), Vec::new());
    for (name, run) in case.named_runs()? {
        let text = run["text"].as_str().context("text")?;
        let tokens = json.tokenize(text, len)?;
        ensure!(
            Some(tokens.text.as_str()) == run["cleaned"].as_str(),
            "run {name}: {text:?} was cleaned to {:?}, expected {}",
            tokens.text,
            run["cleaned"]
        );
        ensure!(
            tokens == spiece.tokenize(text, len)?,
            "run {name}: the two tokenizer files disagree on {text:?}"
        );
        let (i, m) = tokens.padded(len);
        ids.extend(i.into_iter().map(i64::from));
        mask.extend(m.into_iter().map(i64::from));
    }
    let shape = [case.runs().len(), len];
    check.i64("ids", &shape, &ids);
    check.i64("mask", &shape, &mask);
    Ok(())
}
