from proxy.core.reason import Reason


def test_every_reason_says_itself_in_one_sentence():
    for reason in Reason:
        assert reason.sentence[0].isupper(), reason
        assert reason.sentence.endswith("."), reason


def test_words_are_fit_for_headers_labels_and_logs():
    for reason in Reason:
        assert reason.value.replace("-", "").isalnum(), reason
        assert reason.value == reason.value.lower()


def test_no_two_reasons_say_the_same():
    sentences = [reason.sentence for reason in Reason]
    assert len(set(sentences)) == len(sentences)
