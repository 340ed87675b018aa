//! The character's picture: the model's reference frame.

use crate::Result;
use crate::composite::open_body;
use crate::job::Input;
use crate::person::{PersonOptions, find_person};
use crate::progress::Context;
use image::{GrayImage, RgbImage};
use std::path::Path;

/// The character on white, padded to `width` × `height`. What cuts the person out is the mask, else the picture's alpha
/// channel, else what the embedded models find in it.
pub(crate) fn reference(
    path: &Path,
    input: &Input,
    (width, height): (u32, u32),
    context: Context<'_>,
) -> Result<RgbImage> {
    let (picture, mask) = match &input.character_mask {
        Some(mask) => (media::read_picture(path)?, media::read_matte(mask)?),
        None => {
            let (picture, alpha) = bg_mask::split_alpha(&media::read_picture_rgba(path)?);
            // An alpha channel that is opaque everywhere cuts nothing out.
            if alpha.iter().any(|level| *level < 255) {
                (picture, alpha)
            } else {
                let mask = found(&picture, path, input, context)?;
                (picture, mask)
            }
        }
    };
    Ok(bg_mask::reference_frame(&picture, &mask, width, height)?)
}

/// The person's mask, with a word on where it is from.
fn found(picture: &RgbImage, path: &Path, input: &Input, context: Context<'_>) -> Result<GrayImage> {
    let body = open_body(input.body.as_deref())?;
    let person = find_person(picture, &body, &PersonOptions::default())?;
    let which = if person.people > 1 {
        format!("the largest of {} people was found in it", person.people)
    } else {
        "the person was found in it".to_owned()
    };
    context.warn(format!(
        "{} has no alpha channel and no mask was given: {which}; name a mask with character_mask (--character-mask) where the outline isn't right",
        path.display()
    ));
    Ok(person.mask)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::{CancelToken, Event};
    use std::sync::Mutex;

    #[test]
    fn a_person_in_a_picture_without_alpha_is_found_and_it_is_said() {
        let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/demo/character.png");
        let dir = tempfile::tempdir().unwrap();
        let with_alpha = image::open(&demo).unwrap().to_rgba8();
        let over_grey = |p: &image::Rgba<u8>| {
            let alpha = u16::from(p[3]);
            [0, 1, 2].map(|k| ((u16::from(p[k]) * alpha + 150 * (255 - alpha)) / 255) as u8)
        };
        let plain = RgbImage::from_fn(with_alpha.width(), with_alpha.height(), |x, y| {
            image::Rgb(over_grey(with_alpha.get_pixel(x, y)))
        });
        let path = dir.path().join("plain.png");
        plain.save(&path).unwrap();
        let opaque = dir.path().join("opaque.png");
        image::DynamicImage::from(plain).to_rgba8().save(&opaque).unwrap();

        let warnings = Mutex::new(Vec::new());
        let listen = |event: &Event| {
            if let Event::Warning { message } = event {
                warnings.lock().unwrap().push(message.clone());
            }
        };
        let cancel = CancelToken::new();
        let context = Context::new(&listen, &cancel);
        let of = |path: &Path| reference(path, &Input::default(), (96, 160), context).unwrap();
        let expected = of(&demo);
        assert!(warnings.lock().unwrap().is_empty());
        for path in [&path, &opaque] {
            let off =
                expected.iter().zip(of(path).iter()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum::<u64>();
            assert!((off as f64) < 12.0 * expected.len() as f64, "{path:?}: {off}");
            let said = warnings.lock().unwrap().pop().unwrap();
            assert!(said.contains("was found in it") && said.contains("--character-mask"), "{said}");
        }
    }
}
