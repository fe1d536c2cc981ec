use std::time::Duration;

use foretaste_alert::{Patience, Receiver as To, deliver};
use foretaste_core::ErrorKind;

use crate::receiver::{Answer, Receiver};
use crate::{PATIENCE, notice};

#[test]
fn a_chat_gets_the_message() {
    let receiver = Receiver::start(&[Answer::Status(200)]);
    deliver(&To::Webhook(receiver.url()), &[notice("drift", 5)], 9, PATIENCE).unwrap();
    let came = receiver.came();
    assert_eq!(came.len(), 1);
    assert!(came[0].starts_with("POST /services/SECRET HTTP/1.1\r\n"), "{}", came[0]);
    assert!(came[0].contains("content-type: application/json"), "{}", came[0]);
    let body = came[0].split_once("\r\n\r\n").unwrap().1;
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert!(body["text"].as_str().unwrap().contains("drift fails"), "{body}");
}

#[test]
fn nothing_to_tell_sends_nothing() {
    let receiver = Receiver::start(&[Answer::Status(200)]);
    deliver(&To::Webhook(receiver.url()), &[], 9, PATIENCE).unwrap();
    assert!(receiver.came().is_empty());
}

#[test]
fn a_receiver_that_fails_is_asked_again() {
    let answers = [Answer::Status(503), Answer::Close, Answer::Status(429), Answer::Status(200)];
    let receiver = Receiver::start(&answers);
    deliver(&To::Webhook(receiver.url()), &[notice("drift", 5)], 9, PATIENCE).unwrap();
    assert_eq!(receiver.came().len(), 4);
}

#[test]
fn a_refusal_is_not_repeated() {
    for status in [400, 403, 404, 410, 302] {
        let receiver = Receiver::start(&[Answer::Status(status)]);
        let to = To::Webhook(receiver.url());
        let error = deliver(&to, &[notice("drift", 5)], 9, PATIENCE).unwrap_err();
        assert_eq!((error.kind(), receiver.came().len()), (ErrorKind::Invalid, 1));
        assert!(error.to_string().contains(&format!("status {status} said")), "{error}");
    }
}

#[test]
fn no_receiver_is_waited_for_longer_than_patience_lasts() {
    let patience =
        Patience { attempt: Duration::from_millis(100), all: Duration::from_millis(700) };
    let receiver = Receiver::start(&[Answer::Hang]);
    let nobody = "http://127.0.0.1:1/services/SECRET".to_owned();
    for url in [receiver.url(), nobody, "http://nowhere.invalid/SECRET".to_owned()] {
        let error = deliver(&To::Webhook(url), &[notice("drift", 5)], 9, patience).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        let said = format!("{error} {error:?}");
        assert!(said.contains("attempts") && !said.contains("SECRET"), "{said}");
    }
    assert!((2..=4).contains(&receiver.came().len()), "{}", receiver.came().len());
}

#[test]
fn an_address_is_never_shown() {
    let error =
        deliver(&To::Webhook("SECRET words".to_owned()), &[notice("drift", 5)], 9, PATIENCE);
    let said = format!("{:?} {:?}", error.unwrap_err(), To::Webhook("SECRET".to_owned()));
    assert!(!said.contains("SECRET"), "{said}");
}
