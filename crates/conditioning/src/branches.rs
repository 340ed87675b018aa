//! What the transformer is told in each branch of guidance.

use candle_core::Tensor;
use dit::Conditions;

/// What a job's windows have in common: the prompts and the character.
#[derive(Clone, Debug)]
pub struct Prompts {
    /// The prompt's context, `[1, rows, D]`.
    pub positive: Tensor,
    /// The negative prompt's, where guidance is used.
    pub negative: Option<Tensor>,
    /// The reference picture's features.
    pub clip_feature: Tensor,
}

impl Prompts {
    /// The positive and the negative branch of a clip. As the model was trained, only the positive one has the condition tokens.
    #[must_use]
    pub fn branches<'a>(
        &'a self,
        y: &'a Tensor,
        tokens: &'a Tensor,
    ) -> (Conditions<'a>, Option<Conditions<'a>>) {
        let with = |context, add_condition| Conditions {
            context,
            clip_feature: Some(&self.clip_feature),
            y: Some(y),
            add_condition,
        };
        (with(&self.positive, Some(tokens)), self.negative.as_ref().map(|context| with(context, None)))
    }
}
