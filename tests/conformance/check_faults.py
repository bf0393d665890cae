"""Faults as the official Python client meets them: what it retries, and what it raises."""

import time

from pinecone import Pinecone, ServerlessSpec

from checks import ADDRESS, MAJOR, check, faults, forget_requests, refuses, requests, run

if MAJOR >= 10:
    from pinecone.errors import ApiError, PineconeConnectionError, RateLimitError, ServiceError
else:
    from pinecone.exceptions import PineconeApiException as ApiError

pc = Pinecone(api_key="pclocal", host=ADDRESS)
NAME = f"faults-{MAJOR}"
pc.create_index(
    name=NAME, dimension=3, metric="cosine", spec=ServerlessSpec(cloud="aws", region="us-east-1")
)
index = pc.Index(NAME)


def upsert(id):
    return index.upsert(vectors=[{"id": id, "values": [1.0, 2.0, 3.0]}], namespace="kb")


def attempts():
    return [request["status"] for request in requests() if request["operation"] == "upsert"]


def begin(plan):
    forget_requests()
    faults(plan)


@check
def a_503_is_tried_again():
    begin({"operation": "upsert", "times": 2, "status": 503})
    assert upsert("a").upserted_count == 1
    assert attempts() == [503, 503, 200], attempts()


@check
def a_reset_after_the_write_is_tried_again_and_changes_nothing():
    begin({"operation": "upsert", "answer": "reset", "apply": "now"})
    assert upsert("b").upserted_count == 1
    assert attempts() == [None, 200], attempts()
    assert set(index.fetch(ids=["b"], namespace="kb").vectors) == {"b"}


@check
def retry_after_is_waited_for():
    begin({"operation": "upsert", "status": 429, "headers": {"Retry-After": "1"}})
    started = time.monotonic()
    upsert("c")
    assert time.monotonic() - started >= 0.9 and attempts() == [429, 200], attempts()


@check
def a_400_is_not_tried_again():
    begin({"operation": "upsert", "ids": ["d"], "always": True, "status": 400})
    refuses(ApiError, 400, "injected", lambda: upsert("d"))
    assert attempts() == [400] and upsert("e").upserted_count == 1


@check
def hidden_writes_are_seen_later_and_the_numbers_say_so():
    begin({"lag": {"requests": 2}})
    upsert("late")
    assert index.query(id="late", top_k=1, namespace="kb").matches == []
    assert not index.fetch(ids=["late"], namespace="kb").vectors
    assert set(index.fetch(ids=["late"], namespace="kb").vectors) == {"late"}


if MAJOR >= 10:

    @check
    def an_endless_fault_is_raised_by_its_kind():
        begin({"operation": "upsert", "always": True, "status": 500})
        refuses(ServiceError, 500, "injected", lambda: upsert("f"))
        assert attempts() == [500] * 4, attempts()
        begin({"operation": "upsert", "always": True, "status": 429})
        refuses(RateLimitError, 429, "injected", lambda: upsert("g"))
        begin({"operation": "upsert", "always": True, "answer": "reset"})
        try:
            upsert("h")
        except PineconeConnectionError:
            pass
        else:
            raise AssertionError("nothing was raised")

    @check
    def sequence_numbers_reach_the_client():
        begin(None)
        written = upsert("numbered").response_info
        seen = index.query(id="numbered", top_k=1, namespace="kb").response_info
        assert written.lsn_committed == seen.lsn_reconciled > 0, (written, seen)


run()
