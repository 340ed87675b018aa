//! Which levels the tests of vector code run at on this machine. `ANICRAFTER_REQUIRE_CPU`, the best level's name in small
//! letters, makes another best level a failure: for runs under an emulator, which may lack what it is there for.

use anicrafter_simd::{Level, UnsupportedLevel, detected_level, level, set_level};

#[test]
fn the_supported_levels_can_be_set_and_no_others() {
    let best = detected_level();
    let supported: Vec<Level> = Level::ALL.into_iter().filter(|level| level.is_supported()).collect();
    println!("vector code runs at {supported:?}");
    assert_eq!(level(), best);
    assert_eq!(supported.first(), Some(&Level::Portable));
    assert_eq!(supported.last(), Some(&best));
    for asked in Level::ALL {
        let before = level();
        if asked.is_supported() {
            assert_eq!(set_level(asked), Ok(()));
            assert_eq!(level(), asked);
        } else {
            assert_eq!(set_level(asked), Err(UnsupportedLevel { asked, best }));
            assert_eq!(level(), before);
        }
    }
    if let Ok(required) = std::env::var("ANICRAFTER_REQUIRE_CPU") {
        assert_eq!(format!("{best:?}").to_lowercase(), required, "the best level isn't the required one");
    }
}

/// Tiles in threads of every kind, one configuration inside another, and none left behind.
#[cfg(target_arch = "x86_64")]
#[test]
fn tiles_are_configured_wherever_they_are_used() {
    let Some(amx) = anicrafter_simd::Amx::detect() else {
        println!("no tiles here");
        return;
    };
    let once = move || {
        assert_eq!(palette(amx), 0);
        amx.with_tiles(|_| {
            assert_eq!(palette(amx), 1);
            amx.with_tiles(|_| assert_eq!(palette(amx), 1));
            assert_eq!(palette(amx), 1);
            let caught =
                std::panic::catch_unwind(|| amx.with_tiles(|_| std::panic::resume_unwind(Box::new(()))));
            assert!(caught.is_err());
            assert_eq!(palette(amx), 1);
        });
        assert_eq!(palette(amx), 0);
    };
    once();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(once);
        }
    });
}

/// The palette that this thread's tiles are configured by.
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "an instruction without an intrinsic")]
fn palette(_: anicrafter_simd::Amx) -> u8 {
    #[repr(C, align(64))]
    struct Config([u8; 64]);
    let mut config = Config([0; 64]);
    // SAFETY: the token proves that the instruction works; it writes 64 bytes to a place of 64.
    unsafe { std::arch::asm!("sttilecfg [{}]", in(reg) &raw mut config, options(nostack, preserves_flags)) };
    config.0[0]
}
