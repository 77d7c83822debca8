"""The route that says what a micro-model's labels can be: a client that has to declare them needs it."""

from fastapi import FastAPI, Path

from services.catalogue import Catalogue
from services.examples import problems
from services.gate import READ
from services.schemas import OntologyOut

__all__ = ["add_ontologies"]


def add_ontologies(api: FastAPI, catalogue: Catalogue) -> None:
    """Add the route; answers to nothing until it is served."""

    @api.get("/v1/ontologies/{ontology}", summary="What can be labelled", dependencies=[READ], responses=problems(404))
    def ontology(ontology: str = Path(examples=["detection.person-parcel"])) -> OntologyOut:
        return OntologyOut.of(catalogue.store.ontology(ontology))
