//! Code over tokens, and how it gets the one of a level.

#[cfg(target_arch = "aarch64")]
use crate::Neon;
#[cfg(target_arch = "x86_64")]
use crate::{Avx2, Avx512, Avx512Bf16};
use crate::{Level, Portable, Simd, Twice};

/// Code to be compiled for a token `S`. Write one implementation for all of them: `impl<S: Simd> Kernel<S> for …`.
pub trait Kernel<S, Out = ()> {
    /// Runs with the token's instructions; mark it `#[inline(always)]`.
    fn run(self, s: S) -> Out;
}

/// Defines a function that runs a kernel at a level, and the name of what it asks of kernels.
macro_rules! dispatcher {
    (
        $(#[$doc:meta])* $name:ident, $every:ident:
        $portable:ty, neon $neon:ty, avx2 $avx2:ty, avx512 $avx512:ty, avx512bf16 $bf16:ty
    ) => {
        dispatcher!(every $name $every: [target_arch = "x86_64"] $portable, $avx2, $avx512, $bf16);
        dispatcher!(every $name $every: [target_arch = "aarch64"] $portable, $neon);
        dispatcher!(every $name $every: [not(any(target_arch = "x86_64", target_arch = "aarch64"))] $portable);

        $(#[$doc])*
        ///
        /// # Panics
        /// If the CPU can't run the level.
        #[inline]
        pub fn $name<K: $every<Out>, Out>(level: Level, kernel: K) -> Out {
            match level {
                #[cfg(target_arch = "x86_64")]
                Level::Amx | Level::Avx512Bf16 => token::<$bf16>(level).enter(kernel),
                #[cfg(target_arch = "x86_64")]
                Level::Avx512 => token::<$avx512>(level).enter(kernel),
                #[cfg(target_arch = "x86_64")]
                Level::Avx2 => token::<$avx2>(level).enter(kernel),
                #[cfg(target_arch = "aarch64")]
                Level::Neon => token::<$neon>(level).enter(kernel),
                _ => token::<$portable>(level).enter(kernel),
            }
        }
    };
    (every $name:ident $every:ident: [$($cfg:tt)+] $first:ty $(, $more:ty)*) => {
        #[doc = concat!("Kernels that [`", stringify!($name), "`] can run at every level: those of all its tokens.")]
        #[cfg($($cfg)+)]
        pub trait $every<Out>: Kernel<$first, Out> $(+ Kernel<$more, Out>)* {}
        #[cfg($($cfg)+)]
        impl<Out, K: Kernel<$first, Out> $(+ Kernel<$more, Out>)*> $every<Out> for K {}
    };
}

#[inline]
fn token<S: Simd>(level: Level) -> S {
    S::detect().unwrap_or_else(|| panic!("the CPU has no {level:?}"))
}

dispatcher! {
    /// Runs a kernel with the vectors that are a register of the level: of 4 lanes (portable, NEON), 8 or 16.
    dispatch, EveryLevel: Portable<4>, neon Neon, avx2 Avx2, avx512 Avx512, avx512bf16 Avx512Bf16
}

dispatcher! {
    /// Runs a kernel with vectors of 16 lanes where that is a register of the level, of 8 elsewhere.
    dispatch_wide, EveryWide: Portable<8>, neon Twice<Neon>, avx2 Avx2, avx512 Avx512, avx512bf16 Avx512
}

dispatcher! {
    /// Runs a kernel with vectors of 16 lanes, a cache line of `f32`.
    dispatch_lines, EveryLines:
    Portable<16>, neon Twice<Twice<Neon>>, avx2 Twice<Avx2>, avx512 Avx512, avx512bf16 Avx512
}
