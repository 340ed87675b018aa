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
