//! The kiosk page in a real Chromium, with a card that counts what its keys do.

use crate::fixture::Town;
use crate::specimen_card::SpecimenCard;
use crate::webdriver::Browser;
use std::path::Path;
use std::time::{Duration, Instant};

/// SELECT, ISO/IEC 7816-4:2020 §11.2.2: finding out what kind of card it is, and nothing else.
const SELECT: u8 = 0xA4;
const WIDTHS: [u32; 3] = [320, 768, 1280];

struct Bench {
    browser: Browser,
    card: SpecimenCard,
    town: Town,
}

impl Bench {
    fn open() -> Self {
        let town = Town::start();
        let card_file = town.person("hanako")["card"].as_str().unwrap().to_owned();
        let card = SpecimenCard::new(&card_file, town.text("/rooms/terminal/virtual_reader"));
        let browser = Browser::start();
        browser.open(town.text("/rooms/terminal/kiosk"));
        browser.await_phase("idle");
        Self { browser, card, town }
    }

    fn text(&self, selector: &str) -> String {
        self.browser
            .text(selector)
            .unwrap_or_else(|| panic!("nothing at {selector}: {}", self.browser.source()))
    }

    /// The page fits at every width, and a picture of each stays for whoever wants to look.
    fn fits_every_width(&self, screen: &str) {
        for width in WIDTHS {
            self.browser.width(width);
            let sizes =
                self.browser.script("return [document.documentElement.scrollWidth, window.innerWidth]");
            let (scroll, inner) = (sizes[0].as_u64().unwrap(), sizes[1].as_u64().unwrap());
            assert!(scroll <= inner, "{screen} at {width} px scrolls sideways: {scroll} > {inner}");
            let picture = self.browser.screenshot();
            assert!(picture.starts_with(b"\x89PNG") && picture.len() > 2_000, "{screen} at {width} px");
            let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("kiosk-{screen}-{width}.png"));
            std::fs::write(file, picture).unwrap();
        }
    }

    /// Nothing but SELECT commands went to the card, and no key signed: not at once, and not while
    /// nobody does anything.
    fn card_stays_untouched(&self, why: &str) {
        let until = Instant::now() + Duration::from_millis(1500);
        while Instant::now() < until {
            assert_eq!(self.card.signatures(), 0, "{why}");
            let instructions = self.card.instructions();
            assert!(
                instructions.iter().all(|instruction| *instruction == SELECT),
                "{why}: {instructions:02X?}"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        assert!(!self.card.instructions().is_empty(), "{why}: the desk did look at the card");
    }

    fn asks_for_consent(&self) {
        self.browser.await_phase("consent");
        let question = self.text("#question");
        for words in
            ["見本内科クリニック", "健康保険の資格を確認します", "asks to check your health insurance"]
        {
            assert!(question.contains(words), "{question}");
        }
        assert!(self.text("#stop").contains("やめる"), "{}", self.text("#stop"));
        assert!(self.text("#ok").contains("OK"), "{}", self.text("#ok"));
        let lists = self.text(".lists");
        assert!(lists.contains("マイナンバー") && lists.contains("暗証番号"), "what is not used: {lists}");
    }
}

#[test]
fn without_ok_no_key_of_the_card_is_used() {
    let mut bench = Bench::open();
    // Nobody presses anything, and then takes the card.
    bench.card.place();
    bench.asks_for_consent();
    bench.card_stays_untouched("the question is on the screen");
    bench.card.take();
    bench.browser.await_phase("idle");
    bench.card_stays_untouched("the card was taken");

    // Somebody presses stop.
    bench.card.place();
    bench.asks_for_consent();
    bench.browser.click("#stop");
    bench.browser.await_phase("take_card");
    assert!(bench.text("h1").contains("カードをお取りください"), "{}", bench.text("h1"));
    bench.card_stays_untouched("stop was pressed");
    bench.card.take();
    bench.browser.await_phase("idle");
    bench.card_stays_untouched("all is over");
    let Bench { browser, town, .. } = bench;
    drop(browser);
    drop(town.stop());
}

#[test]
fn a_touch_an_ok_and_the_answer_in_words() {
    let mut bench = Bench::open();
    bench.fits_every_width("idle");
    bench.card.place();
    bench.asks_for_consent();
    bench.fits_every_width("consent");
    bench.card_stays_untouched("before OK");
    bench.browser.click("#ok");
    bench.browser.await_phase("result");
    assert_eq!(bench.card.signatures(), 1, "one OK, one signature");
    for (selector, words) in
        [("#word", "有効"), ("#word", "Valid"), ("#copay", "3割"), (".take", "カードをお取りください")]
    {
        let shown = bench.text(selector);
        assert!(shown.contains(words), "{selector}: {shown}");
    }
    // Not by colour alone: a sign with a shape of its own stands beside the word.
    assert_eq!(bench.browser.script("return !!document.querySelector('.result.good .word svg')"), true);
    assert!(bench.browser.source().contains("見本　花子"));
    bench.fits_every_width("result");

    bench.card.take();
    bench.browser.await_phase("idle");
    let left = bench.browser.source();
    for personal in ["花子", "見本健康保険組合", "3割"] {
        assert!(!left.contains(personal), "{personal} is still in the page");
    }
    assert_eq!(bench.card.signatures(), 1, "and none after it");
    // Nothing personal is a step back in the browser's history either.
    bench.browser.script("history.back()");
    bench.browser.await_true("document.readyState === 'complete'");
    assert!(!bench.browser.source().contains("花子"));
    in_english(&mut bench);
    let Bench { browser, town, .. } = bench;
    drop(browser);
    drop(town.stop());
}

/// The same page with English on top, from the question to the answer.
fn in_english(bench: &mut Bench) {
    let kiosk = bench.town.text("/rooms/terminal/kiosk").to_owned();
    bench.browser.open(&format!("{kiosk}?lang=en"));
    bench.browser.await_phase("idle");
    assert_eq!(bench.browser.script("return document.documentElement.lang"), "en");
    bench.card.place();
    bench.asks_for_consent();
    bench.browser.click("#ok");
    bench.browser.await_phase("result");
    assert!(bench.text("#word .top").contains("Valid"), "{}", bench.text("#word"));
    bench.fits_every_width("result-en");
    bench.card.take();
    bench.browser.await_phase("idle");
}
