//! What can go wrong, one variant for each cause.

/// This crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an avatar could not be baked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The body, or pose, betas or camera that don't fit it: too many, or not finite.
    #[error(transparent)]
    Body(#[from] smplx::Error),
    /// The camera or the renderer.
    #[error(transparent)]
    Render(#[from] avatar_render::Error),
    /// The frame has no camera.
    #[error("the picture's frame has no camera: add focal, princpt and img_size_wh")]
    NoCamera,
    /// The camera belongs to a picture of another shape.
    #[error("the camera is one for {camera:?} pixels, the picture has {picture:?}: not the same shape")]
    CameraSize {
        /// Width and height of the camera's picture.
        camera: [u32; 2],
        /// Width and height of the picture.
        picture: [u32; 2],
    },
    /// The mask has another size than the picture.
    #[error("the mask has {mask:?} pixels, the picture {picture:?}")]
    MaskSize {
        /// Width and height of the mask.
        mask: [u32; 2],
        /// Width and height of the picture.
        picture: [u32; 2],
    },
    /// The mask shows no person.
    #[error("the mask is empty: no pixel of it is 128 or more")]
    EmptyMask,
    /// The mask covers the whole picture, so it says nothing about an outline.
    #[error("the mask covers the whole picture: give a mask of the person, or a picture with alpha")]
    FullMask,
    /// The picture's border isn't of one colour.
    #[error("no plain backdrop: {:.0} % of the picture's border have its usual colour, 40 % are needed", share * 100.0)]
    NoBackdrop {
        /// Share of the border that has its usual colour.
        share: f32,
    },
    /// The posed body lies elsewhere than the mask.
    #[error(
        "the posed body and the mask don't meet: {seen} of {points} points of the body lie on the person"
    )]
    NothingSeen {
        /// Points on the mask.
        seen: usize,
        /// All points.
        points: usize,
    },
    /// A setting outside of what it can be.
    #[error("option {option}: {value} isn't in {allowed}")]
    Option {
        /// The setting.
        option: &'static str,
        /// Its value.
        value: String,
        /// What it can be.
        allowed: &'static str,
    },
    /// The body has no triangles.
    #[error("the body has no surface")]
    NoSurface,
}
