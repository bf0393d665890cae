"""Every operation of the emulator through the official Python client, errors included."""

import struct

from pinecone import Pinecone, ServerlessSpec

from checks import ADDRESS, MAJOR, check, refuses, run

if MAJOR >= 10:
    from pinecone.errors import (
        ApiError,
        ConflictError,
        ForbiddenError,
        NotFoundError,
        PayloadTooLargeError,
        UnauthorizedError,
    )

    BadRequest = ApiError
else:
    from pinecone.exceptions import (
        ForbiddenException as ForbiddenError,
        NotFoundException as NotFoundError,
        PineconeApiException as ApiError,
        UnauthorizedException as UnauthorizedError,
    )

    BadRequest = ConflictError = PayloadTooLargeError = ApiError

pc = Pinecone(api_key="pclocal", host=ADDRESS)
NAME = f"python-{MAJOR}"


def single(number):
    """The f32 that is nearest to a number."""
    return struct.unpack("f", struct.pack("f", number))[0]


def index():
    return pc.Index(NAME)


def tags(told):
    """The tags of an index: a dictionary in one client, a model in another."""
    return {} if told.tags is None else dict(told.tags.to_dict())


def vector(id, values, **metadata):
    return {"id": id, "values": [float(value) for value in values], "metadata": metadata}


def ids(page):
    """The ids of a page of `list`, which is made of strings in one client and of objects in another."""
    items = getattr(page, "vectors", page)
    return [item if isinstance(item, str) else item.id for item in items]


@check
def an_index_is_created_ready_and_described():
    made = pc.create_index(
        name=NAME,
        dimension=3,
        metric="cosine",
        spec=ServerlessSpec(cloud="aws", region="us-east-1"),
        tags={"app": "corpusd"},
        deletion_protection="disabled",
    )
    assert made.name == NAME
    told = pc.describe_index(NAME)
    assert (told.dimension, told.metric, told.status.ready) == (3, "cosine", True), told
    assert told.host == f"{ADDRESS}/i/{NAME}", told.host
    assert told.vector_type == "dense" and tags(told) == {"app": "corpusd"}, told


@check
def indexes_are_listed_and_looked_for():
    assert NAME in [found.name for found in pc.list_indexes()]
    assert pc.has_index(NAME) and not pc.has_index("nowhere")


@check
def a_second_index_of_the_name_is_a_conflict():
    spec = ServerlessSpec(cloud="aws", region="us-east-1")
    refuses(
        ConflictError, 409, "already exists", lambda: pc.create_index(name=NAME, dimension=3, metric="cosine", spec=spec)
    )


@check
def an_unknown_region_is_not_found():
    spec = ServerlessSpec(cloud="aws", region="us-west1")
    refuses(
        NotFoundError,
        404,
        "Resource cloud: aws region: us-west1 not found",
        lambda: pc.create_index(name="elsewhere", dimension=3, metric="cosine", spec=spec),
    )


@check
def an_index_name_has_rules():
    spec = ServerlessSpec(cloud="aws", region="us-east-1")
    refuses(
        BadRequest, 400, "Name must", lambda: pc.create_index(name="Upper_Case", dimension=3, metric="cosine", spec=spec)
    )


@check
def a_protected_index_is_not_deleted():
    pc.configure_index(NAME, deletion_protection="enabled", tags={"team": "a"})
    told = pc.describe_index(NAME)
    assert told.deletion_protection == "enabled" and tags(told) == {"app": "corpusd", "team": "a"}, told
    refuses(ForbiddenError, 403, "Deletion protection is enabled", lambda: pc.delete_index(NAME))
    pc.configure_index(NAME, deletion_protection="disabled", tags={"team": ""})
    assert tags(pc.describe_index(NAME)) == {"app": "corpusd"}


@check
def another_key_than_none_is_let_in():
    assert pc.list_indexes() is not None
    if MAJOR < 10:
        # This client does not let go of its key.
        return
    nobody = Pinecone(api_key="x", host=ADDRESS, additional_headers={"Api-Key": ""})
    refuses(UnauthorizedError, 401, "Unauthorized", nobody.list_indexes)


@check
def records_come_back_as_they_were_written():
    written = index().upsert(
        vectors=[
            vector("doc1#0", [0.1, 0.2, 0.3], document_id="doc1", n=0, tags=["a", "b"], ok=True),
            vector("doc1#1", [0.3, 0.2, 0.1], document_id="doc1", n=1),
            vector("doc2#0", [-0.1, 0.2, -0.3], document_id="doc2", n=2),
            vector("doc 3/+&", [1, 1, 1], document_id="doc3", n=3),
        ],
        namespace="kb",
    )
    assert written.upserted_count == 4, written
    found = index().fetch(ids=["doc1#0", "doc 3/+&", "nowhere"], namespace="kb")
    assert set(found.vectors) == {"doc1#0", "doc 3/+&"}, found
    record = found.vectors["doc1#0"]
    assert [single(value) for value in record.values] == [single(0.1), single(0.2), single(0.3)], record
    assert record.metadata == {"document_id": "doc1", "n": 0.0, "tags": ["a", "b"], "ok": True}, record
    assert isinstance(record.metadata["n"], float)


@check
def an_upsert_replaces_the_whole_record():
    index().upsert(vectors=[vector("doc9#0", [1, 0, 0], a=1)], namespace="kb")
    index().upsert(vectors=[vector("doc9#0", [0, 1, 0], b=2)], namespace="kb")
    record = index().fetch(ids=["doc9#0"], namespace="kb").vectors["doc9#0"]
    assert list(record.values) == [0, 1, 0] and record.metadata == {"b": 2.0}, record
    index().delete(ids=["doc9#0"], namespace="kb")


@check
def a_query_finds_the_nearest_first():
    found = index().query(
        vector=[0.1, 0.2, 0.3], top_k=2, namespace="kb", include_values=True, include_metadata=True
    )
    assert [match.id for match in found.matches] == ["doc1#0", "doc 3/+&"], found
    assert abs(found.matches[0].score - 1) < 1e-6 and found.matches[0].metadata["document_id"] == "doc1", found
    assert found.namespace == "kb" and len(found.matches[0].values) == 3, found


@check
def a_query_by_id_without_values_or_metadata():
    found = index().query(id="doc1#0", top_k=10, namespace="kb")
    assert found.matches[0].id == "doc1#0" and len(found.matches) == 4, found
    assert not found.matches[0].values and not found.matches[0].metadata, found
    assert index().query(id="nowhere", top_k=10, namespace="kb").matches == []


@check
def the_filter_language():
    for filter, expected in [
        ({"document_id": "doc1"}, {"doc1#0", "doc1#1"}),
        ({"document_id": {"$eq": "doc1"}, "n": {"$gte": 1}}, {"doc1#1"}),
        ({"n": {"$gt": 0, "$lt": 3}}, {"doc1#1", "doc2#0"}),
        ({"n": {"$lte": 0}}, {"doc1#0"}),
        ({"document_id": {"$ne": "doc1"}}, {"doc2#0", "doc 3/+&"}),
        ({"document_id": {"$in": ["doc2", "doc3"]}}, {"doc2#0", "doc 3/+&"}),
        ({"document_id": {"$nin": ["doc2", "doc3"]}}, {"doc1#0", "doc1#1"}),
        ({"tags": "b"}, {"doc1#0"}),
        ({"tags": {"$in": ["b", "z"]}}, {"doc1#0"}),
        ({"ok": True}, {"doc1#0"}),
        ({"ok": {"$exists": False}}, {"doc1#1", "doc2#0", "doc 3/+&"}),
        ({"$or": [{"n": 0}, {"$and": [{"n": 2}, {"document_id": "doc2"}]}]}, {"doc1#0", "doc2#0"}),
        ({"n": "0"}, set()),
    ]:
        found = index().query(vector=[1.0, 1.0, 1.0], top_k=10, namespace="kb", filter=filter)
        assert {match.id for match in found.matches} == expected, (filter, found)


@check
def a_wrong_filter_is_refused():
    for filter in [{"n": {"$gt": "1"}}, {"n": {"$regex": "x"}}, {"$gt": 1}, {"$not": {"n": 1}}, {"n": {"$in": 3}}]:
        refuses(
            BadRequest,
            400,
            "filter",
            lambda: index().query(vector=[1.0, 1.0, 1.0], top_k=10, namespace="kb", filter=filter),
        )


@check
def ids_are_listed_by_prefix():
    assert [id for page in index().list(prefix="doc1#", namespace="kb") for id in ids(page)] == ["doc1#0", "doc1#1"]
    page = index().list_paginated(limit=3, namespace="kb")
    assert ids(page) == ["doc 3/+&", "doc1#0", "doc1#1"] and page.pagination.next, page
    rest = index().list_paginated(limit=3, namespace="kb", pagination_token=page.pagination.next)
    assert ids(rest) == ["doc2#0"] and not (rest.pagination and rest.pagination.next), rest


@check
def a_long_list_is_paged_to_its_end():
    index().upsert(vectors=[vector(f"long#{n:03}", [1, n, 0]) for n in range(250)], namespace="long")
    pages = [ids(page) for page in index().list(prefix="long#", namespace="long")]
    assert [len(page) for page in pages] == [100, 100, 50], pages
    assert [id for page in pages for id in page] == [f"long#{n:03}" for n in range(250)]


@check
def records_are_fetched_by_metadata():
    found = index().fetch_by_metadata(filter={"document_id": "doc1"}, namespace="kb", limit=1)
    assert list(found.vectors) == ["doc1#0"] and found.pagination.next, found
    rest = index().fetch_by_metadata(
        filter={"document_id": "doc1"}, namespace="kb", limit=1, pagination_token=found.pagination.next
    )
    assert list(rest.vectors) == ["doc1#1"], rest


@check
def an_update_merges_metadata_and_replaces_values():
    index().update(id="doc1#1", set_metadata={"lang": "en", "n": 7}, namespace="kb")
    record = index().fetch(ids=["doc1#1"], namespace="kb").vectors["doc1#1"]
    assert record.metadata == {"document_id": "doc1", "n": 7.0, "lang": "en"}, record
    index().update(id="doc1#1", values=[0.5, 0.5, 0.5], namespace="kb")
    assert list(index().fetch(ids=["doc1#1"], namespace="kb").vectors["doc1#1"].values) == [0.5, 0.5, 0.5]
    index().update(id="nowhere", set_metadata={"lang": "en"}, namespace="kb")
    assert not index().fetch(ids=["nowhere"], namespace="kb").vectors


@check
def an_update_by_filter_counts_and_changes():
    filter = {"document_id": {"$eq": "doc1"}}
    told = index().update(filter=filter, set_metadata={"seen": True}, namespace="kb", dry_run=True)
    assert told.matched_records == 2, told
    assert "seen" not in index().fetch(ids=["doc1#0"], namespace="kb").vectors["doc1#0"].metadata
    told = index().update(filter=filter, set_metadata={"seen": True}, namespace="kb")
    assert told.matched_records == 2, told
    assert index().fetch(ids=["doc1#0"], namespace="kb").vectors["doc1#0"].metadata["seen"] is True


@check
def stats_count_by_namespace():
    index().upsert(vectors=[vector("x", [1, 2, 3])])
    stats = index().describe_index_stats()
    counts = {name: space.vector_count for name, space in stats.namespaces.items()}
    assert counts == {"kb": 4, "long": 250, "__default__": 1}, stats
    assert (stats.dimension, stats.total_vector_count, stats.index_fullness) == (3, 255, 0), stats


@check
def the_default_namespace_has_three_names():
    for namespace in ["", "__default__"]:
        assert "x" in index().fetch(ids=["x"], namespace=namespace).vectors
    assert "x" in index().fetch(ids=["x"]).vectors


@check
def namespaces_are_made_described_listed_and_deleted():
    # The older client wants a model of its own for a schema.
    schema = {"schema": {"fields": {"a": {"filterable": True}}}} if MAJOR >= 10 else {}
    made = index().create_namespace(name="made", **schema)
    assert made.name == "made" and int(made.record_count) == 0, made
    refuses(ConflictError, 409, "already exists", lambda: index().create_namespace(name="made"))
    assert int(index().describe_namespace(namespace="kb").record_count) == 4
    pages = [page.namespaces if MAJOR >= 10 else [page] for page in index().list_namespaces()]
    listed = [space.name for page in pages for space in page]
    assert listed == ["__default__", "kb", "long", "made"], listed
    index().delete_namespace(namespace="made")
    refuses(NotFoundError, 404, "not found", lambda: index().describe_namespace(namespace="made"))


@check
def records_are_deleted_by_ids_filter_and_all():
    index().delete(ids=["doc1#0", "nowhere"], namespace="kb")
    index().delete(filter={"document_id": "doc2"}, namespace="kb")
    assert [id for page in index().list(namespace="kb") for id in ids(page)] == ["doc 3/+&", "doc1#1"]
    index().delete(delete_all=True, namespace="kb")
    assert [id for page in index().list(namespace="kb") for id in ids(page)] == []
    refuses(NotFoundError, 404, "Namespace not found", lambda: index().delete(ids=["a"], namespace="nowhere"))


@check
def what_is_wrong_with_an_upsert_is_told():
    def upsert(*vectors):
        return lambda: index().upsert(vectors=list(vectors), namespace="bad")

    for message, action in [
        ("Vector dimension 2 does not match the dimension of the index 3", upsert(vector("a", [1, 2]))),
        ("Dense vectors must contain at least one non-zero value. Vector ID 'a'", upsert(vector("a", [0, 0, 0]))),
        ("which exceeds the limit of 40960 bytes per vector", upsert(vector("a", [1, 2, 3], text="x" * 41000))),
        ("Metadata value must be a string, number, boolean or list of strings", upsert(vector("a", [1, 2, 3], x=None))),
        ("for field 'x'", upsert(vector("a", [1, 2, 3], x={"y": 1}))),
        ("for field 'x'", upsert(vector("a", [1, 2, 3], x=[1, 2]))),
        ("more than 1000 vectors", upsert(*[vector(f"{n}", [1, 2, 3]) for n in range(1001)])),
        (
            "does not support sparse values",
            upsert({"id": "a", "values": [1.0, 2.0, 3.0], "sparse_values": {"indices": [1], "values": [0.5]}}),
        ),
    ]:
        refuses(BadRequest, 400, message, action)
    # One bad record refuses the whole request.
    refuses(BadRequest, 400, "dimension", upsert(vector("good", [1, 2, 3]), vector("bad", [1, 2])))
    assert "bad" not in index().describe_index_stats().namespaces


@check
def a_body_over_2_mib_is_too_large():
    wide = [vector(f"{n}", [1, 2, 3], text="x" * 30000) for n in range(80)]
    refuses(PayloadTooLargeError, 413, "2MB", lambda: index().upsert(vectors=wide, namespace="bad"))


@check
def what_is_wrong_with_a_query_or_a_delete_is_told():
    for message, action in [
        ("Vector dimension 2 does not match", lambda: index().query(vector=[1.0, 2.0], top_k=1)),
        ("Delete with empty metadata filter is not allowed", lambda: index().delete(filter={}, namespace="long")),
        ("more than 1000 ids", lambda: index().delete(ids=[f"{n}" for n in range(1001)], namespace="long")),
    ]:
        refuses(BadRequest, 400, message, action)
    assert index().describe_index_stats().namespaces["long"].vector_count == 250


@check
def sparse_values_stand_beside_dense_ones_with_dotproduct():
    name = f"hybrid-{MAJOR}"
    spec = ServerlessSpec(cloud="aws", region="us-east-1")
    if MAJOR >= 10:
        # The newest dialect wants the sparse field declared.
        pc.indexes.create(
            name=name,
            schema={
                "fields": {
                    "_values": {"type": "dense_vector", "dimension": 2, "metric": "dotproduct"},
                    "_sparse_values": {"type": "sparse_vector"},
                }
            },
        )
    else:
        pc.create_index(name=name, dimension=2, metric="dotproduct", spec=spec)
    hybrid = pc.Index(name)
    hybrid.upsert(
        vectors=[
            {"id": "a", "values": [1.0, 0.0], "sparse_values": {"indices": [7, 3], "values": [2.0, 1.0]}},
            {"id": "b", "values": [1.5, 0.0]},
        ]
    )
    found = hybrid.query(vector=[1.0, 0.0], sparse_vector={"indices": [3], "values": [1.0]}, top_k=2)
    assert [(match.id, match.score) for match in found.matches] == [("a", 2.0), ("b", 1.5)], found
    record = hybrid.fetch(ids=["a"]).vectors["a"]
    assert list(record.sparse_values.indices) == [3, 7] and list(record.sparse_values.values) == [1.0, 2.0], record
    pc.delete_index(name)


@check
def a_sparse_index_has_no_dimension():
    name = f"sparse-{MAJOR}"
    spec = ServerlessSpec(cloud="aws", region="us-east-1")
    pc.create_index(name=name, metric="dotproduct", vector_type="sparse", spec=spec)
    sparse = pc.Index(name)
    told = pc.describe_index(name)
    assert told.vector_type == "sparse" and told.metric == "dotproduct", told
    sparse.upsert(
        vectors=[
            {"id": "a", "values": [], "sparse_values": {"indices": [1, 2], "values": [1.0, 1.0]}},
            {"id": "b", "values": [], "sparse_values": {"indices": [3], "values": [1.0]}},
        ]
    )
    found = sparse.query(sparse_vector={"indices": [2], "values": [3.0]}, top_k=5)
    assert [(match.id, match.score) for match in found.matches] == [("a", 3.0)], found
    pc.delete_index(name)


@check
def a_lower_score_is_nearer_by_euclidean_distance():
    name = f"euclidean-{MAJOR}"
    pc.create_index(
        name=name, dimension=2, metric="euclidean", spec=ServerlessSpec(cloud="gcp", region="us-central1")
    )
    space = pc.Index(name)
    space.upsert(vectors=[vector("near", [1, 1]), vector("far", [4, 4])])
    found = space.query(vector=[1.0, 0.0], top_k=2)
    assert [(match.id, match.score) for match in found.matches] == [("near", 1.0), ("far", 25.0)], found
    pc.delete_index(name)


@check
def what_is_not_emulated_says_so():
    refuses(
        ApiError,
        501,
        "not emulated",
        lambda: pc.create_index_for_model(
            name="hosted",
            cloud="aws",
            region="us-east-1",
            embed={"model": "multilingual-e5-large", "field_map": {"text": "text"}},
        ),
    )
    refuses(
        ApiError,
        501,
        "not emulated",
        lambda: index().upsert_records(namespace="kb", records=[{"_id": "a", "text": "words"}]),
    )
    refuses(ApiError, 501, "not emulated", lambda: index().start_import(uri="s3://bucket/folder"))


@check
def a_deleted_index_is_gone():
    gone = index()
    pc.delete_index(NAME)
    assert not pc.has_index(NAME)
    refuses(NotFoundError, 404, "not found", lambda: pc.describe_index(NAME))
    refuses(NotFoundError, 404, "not found", lambda: gone.describe_index_stats())


run()
