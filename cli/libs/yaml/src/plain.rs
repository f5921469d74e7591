//! The meaning of scalars without quotes. As kubectl and docker compose have it, whose readers know YAML 1.2 and the numbers of
//! YAML 1.1: `0400` and `0o400` are 256, `1_000` is 1000, `yes` is a text.

use serde_json::Number;

use super::Node;

/// Returns the value of a scalar.
///
/// # Errors
/// Why its value depends on the reader, or can't be kept.
pub(super) fn meaning(text: &str) -> Result<Node, String> {
    let unsigned = text.trim_start_matches(['+', '-']);
    Ok(match text {
        "" | "~" | "null" | "Null" | "NULL" => Node::Null,
        "true" | "True" | "TRUE" => Node::Bool(true),
        "false" | "False" | "FALSE" => Node::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return Err(not_kept(text)),
        _ if text.len() <= unsigned.len() + 1 && [".inf", ".Inf", ".INF"].contains(&unsigned) => {
            return Err(not_kept(text));
        }
        _ if is_date(text) => {
            return Err(format!(
                "some readers take `{text}` for a moment in time: write it in quotes"
            ));
        }
        _ if text.starts_with(|first: char| first.is_ascii_digit() || "+-".contains(first)) => {
            number(text, &text.replace('_', ""))?
        }
        _ if text.starts_with('.') => float(text, text)?,
        _ => Node::Text(text.into()),
    })
}

/// Returns whether YAML 1.1 takes a scalar for a truth value, but YAML 1.2 for a text.
pub(super) fn is_word(text: &str) -> bool {
    let is_one_case = |rest: &str| {
        rest.bytes().all(|byte| byte.is_ascii_lowercase())
            || text.bytes().all(|byte| byte.is_ascii_uppercase())
    };
    ["y", "n", "yes", "no", "on", "off"].contains(&text.to_ascii_lowercase().as_str())
        && is_one_case(&text[1..])
}

fn not_kept(text: &str) -> String {
    format!("the number `{text}` can't be passed on as it is written: write it in quotes")
}

/// Returns whether a text begins like `2026-01-31` and goes on like a time, if at all.
fn is_date(text: &str) -> bool {
    let mut parts = text.splitn(3, '-');
    let mut is_part = |least: usize, most: usize| {
        parts.next().is_some_and(|part| {
            let digits = part.bytes().take_while(u8::is_ascii_digit).count();
            let is_end = part[digits..].chars().next().is_none_or(|next| "Tt \t".contains(next));
            (least..=most).contains(&digits) && is_end && (most < 4 || digits == part.len())
        })
    };
    is_part(4, 4) && is_part(1, 2) && is_part(1, 2)
}

/// Reads a number; `plain` is without the underscores of `text`.
fn number(text: &str, plain: &str) -> Result<Node, String> {
    let (sign, digits) = match plain.split_at(1) {
        (sign @ ("+" | "-"), digits) => (sign, digits),
        _ => ("", plain),
    };
    let prefix = digits.get(..2).filter(|_| digits.len() > 2).map(str::to_ascii_lowercase);
    let (radix, digits) = match prefix.as_deref() {
        Some("0x") => (16, &digits[2..]),
        Some("0o") => (8, &digits[2..]),
        Some("0b") => (2, &digits[2..]),
        _ if digits.len() > 1 && digits.starts_with('0') => (8, digits),
        _ => (10, digits),
    };
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(radix)) {
        return float(text, plain);
    }
    let signed = i64::from_str_radix(&format!("{sign}{digits}"), radix).map(Node::Whole);
    let large = || u64::from_str_radix(digits, radix).ok().filter(|_| sign.is_empty());
    match signed.ok().or_else(|| large().map(|large| Node::Number(large.into()))) {
        Some(node) => Ok(node),
        None if radix == 10 => float(text, plain),
        None => Err(not_kept(text)),
    }
}

/// Reads a decimal number; anything else is a text.
fn float(text: &str, plain: &str) -> Result<Node, String> {
    let Some(written) = Decimal::of(plain) else { return Ok(Node::Text(text.into())) };
    match plain.parse::<f64>().ok().and_then(Number::from_f64) {
        Some(number) if Decimal::of(&number.to_string()) == Some(written) => {
            Ok(Node::Number(number))
        }
        Some(_) => Err(not_kept(text)),
        // Larger than any number.
        None => Ok(Node::Text(text.into())),
    }
}

/// A decimal number: its digits without zeros around them, and the power of ten of the last one.
#[derive(Debug, PartialEq)]
struct Decimal {
    is_negative: bool,
    digits: String,
    exponent: i64,
}

impl Decimal {
    /// Reads a number such as `-1.5e3`; `None` if it is none.
    fn of(text: &str) -> Option<Self> {
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, Some(exponent)),
            None => (unsigned, None),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.len() + fraction.len() == 0 || !is_digits(whole) || !is_digits(fraction) {
            return None;
        }
        let exponent = match exponent {
            Some(text) if is_digits(text.strip_prefix(['+', '-']).unwrap_or(text)) => {
                text.parse().ok()?
            }
            Some(_) => return None,
            None => 0_i64,
        };
        let all = format!("{whole}{fraction}");
        let digits = all.trim_end_matches('0');
        let zeros = i64::try_from(all.len() - digits.len()).ok()?;
        let exponent =
            exponent.checked_add(zeros)?.checked_sub(i64::try_from(fraction.len()).ok()?)?;
        let digits = digits.trim_start_matches('0').to_owned();
        let exponent = if digits.is_empty() { 0 } else { exponent };
        Some(Self { is_negative: text.starts_with('-'), digits, exponent })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scalar_means_what_kubectl_and_docker_compose_take_it_for() {
        let texts = [
            "",
            "~",
            "Null",
            "True",
            "yes",
            "off",
            "0400",
            "0o17",
            "0x1F",
            "-0b11",
            "+5",
            "1_000",
            "08",
            "09.5",
            "-0",
            "00",
            "0x",
            "9223372036854775808",
            "1.10",
            "706798e8",
            "1e3",
            ".5",
            "1.",
            "-.5E-3",
            "1e400",
            "12:30:45",
            "1.2.3",
            "-",
            "1-2",
            "_1",
            "0.30000000000000004",
            ".5_0",
            "inf",
            ".i",
            "2026-1",
            "12026-01-01",
            "2026-01-01x",
            "é",
            "-é",
            "0é",
            // Refused:
            "-.inf",
            ".NaN",
            "2026-01-31",
            "2026-1-3T10:00:00Z",
            "2026-01-31 10:00",
            "123456789012345678901",
            "0.1000000000000000055",
            "0xFFFFFFFFFFFFFFFFFF",
            "-9223372036854775809",
            "1e-400",
        ];
        let lines = texts.map(|text| match meaning(text) {
            Ok(node) => format!("{text:24} {node:?}"),
            Err(what) => format!("{text:24} {what}"),
        });
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn words_of_truth_are_known() {
        let words = [
            "y", "Y", "yes", "Yes", "YES", "No", "oN", "yEs", "on", "OFF", "yess", "", "é", "true",
        ];
        assert_eq!(
            words.map(is_word),
            [
                true, true, true, true, true, true, false, false, true, true, false, false, false,
                false
            ]
        );
    }
}
