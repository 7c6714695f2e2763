//! Which branch of a union a JSON value stands for.

use super::{
    logical::{unscaled, uuid},
    scalars::{double, is_latin, whole},
    types::{Id, Kind, Logical, Types, Union},
};
use crate::{document::Json, invalid::Invalid};

/// The most branches that are tried with one string or number; with more, only a named branch is taken.
const MOST_TRIED: usize = 16;

impl Union {
    /// A branch that is named, as in `{"string": "x"}`: its name, its number and the value in it.
    pub(super) fn named<'d>(&self, json: Json<'d>) -> Option<(&'d str, usize, Json<'d>)> {
        let Json::Object(mut entries) = json else {
            return None;
        };
        if entries.len() != 1 {
            return None;
        }
        let (name, json) = entries.next()?;
        Some((name, self.names.find(name, 1)?, json))
    }

    /// The branch of a value that names none.
    pub(super) fn branch(&self, types: &Types, json: Json<'_>) -> Result<usize, Invalid> {
        if let (Json::Null, Some(null)) = (json, self.null) {
            return Ok(null);
        }
        // Then the branch itself says best what is wrong.
        if let Some(only) = self.only {
            return Ok(only);
        }
        match json {
            Json::Null => self.one([].into_iter(), json),
            Json::Bool(_) => self.one(self.boolean.into_iter(), json),
            Json::Array(_) => self.one(self.array.into_iter(), json),
            Json::Object(_) => self.one(self.objects.iter().copied(), json),
            Json::Signed(_) | Json::Unsigned(_) | Json::Float(_) => self.number(types, json),
            Json::Text(text) => self.text(types, text, json),
        }
    }

    /// The only one of these branches.
    fn one(&self, mut branches: impl Iterator<Item = usize>, json: Json<'_>) -> Result<usize, Invalid> {
        match (branches.next(), branches.next()) {
            (Some(branch), None) => Ok(branch),
            (Some(one), Some(other)) => {
                let (one, other) = (self.names.get(one), self.names.get(other));
                let reason = format!(
                    "{} could be {one} or {other}: name the branch that is meant, as in {{{one:?}: …}}",
                    json.shown()
                );
                Err(Invalid::new(reason))
            }
            (None, _) => {
                let branches = self.names.listed();
                let reason = format!(
                    "expected a value of one of the union's branches ({branches}), got {}",
                    json.shown()
                );
                Err(Invalid::new(reason))
            }
        }
    }

    /// Whole numbers are rather `int` than `long`, and others rather `double` than `float`.
    fn number(&self, types: &Types, json: Json<'_>) -> Result<usize, Invalid> {
        let number = whole(json);
        let fits_int = number.is_some_and(|number| i32::try_from(number).is_ok());
        let int = self.int.filter(|_| fits_int);
        let long = self.long.filter(|_| number.is_some());
        let branch = match json {
            Json::Float(_) => self.double.or(self.float).or(int).or(long),
            _ => int.or(long).or_else(|| {
                // Too large for the whole numbers that there are; it is not rounded.
                let rounds = self.int.is_none() && self.long.is_none();
                let double = self.double.filter(|_| rounds || is_exact(json, |number| number));
                double.or_else(|| {
                    self.float
                        .filter(|_| rounds || is_exact(json, |number| (number as f32).into()))
                })
            }),
        };
        if let Some(branch) = branch {
            return Ok(branch);
        }
        let takes = |branch: &usize| match types.list[self.branches[*branch]].logical {
            Logical::Decimal { precision, scale } => unscaled(json, precision, scale).is_some(),
            _ => false,
        };
        let tried = self.decimals.iter().take(MOST_TRIED);
        self.one(tried.copied().filter(takes), json)
    }

    /// What is a string in Avro's JSON comes before what may be written as one.
    fn text(&self, types: &Types, text: &str, json: Json<'_>) -> Result<usize, Invalid> {
        if self.texts.len() > MOST_TRIED {
            return self.one(self.texts.iter().copied(), json);
        }
        let takes = |branch: &usize| takes_text(types, self.branches[*branch], text);
        let texts = || self.texts.iter().copied().filter(takes);
        if texts().next().is_some() {
            return self.one(texts(), json);
        }
        let takes = |branch: &usize| {
            let of = &types.list[self.branches[*branch]];
            match of.kind {
                Kind::Double => double(json).is_some(),
                Kind::Float => self.double.is_none() && double(json).is_some(),
                Kind::Fixed(_) => uuid(text).is_some(),
                _ => of.logical.number_of(text).is_ok(),
            }
        };
        let dressed = self.dressed.iter().take(MOST_TRIED);
        self.one(dressed.copied().filter(takes), json)
    }
}

fn takes_text(types: &Types, id: Id, text: &str) -> bool {
    let of = &types.list[id];
    match &of.kind {
        Kind::String => of.logical != Logical::Uuid || uuid(text).is_some(),
        Kind::Bytes => is_latin(text),
        Kind::Enum(of) => of.symbols.find(text, 0).is_some(),
        Kind::Fixed(fixed) => text.chars().count() == fixed.size && is_latin(text),
        _ => false,
    }
}

/// Whether a whole number stays what it is as a double that is narrowed so.
fn is_exact(json: Json<'_>, narrow: impl Fn(f64) -> f64) -> bool {
    let number = match json {
        Json::Signed(number) => i128::from(number),
        Json::Unsigned(number) => i128::from(number),
        _ => return false,
    };
    narrow(number as f64) as i128 == number
}
