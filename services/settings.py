"""Everything about the service that can be set: arguments of `services.app:build`, else MICROMODELS_* variables."""

from typing import Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from training.models.precision import Precision

__all__ = ["Settings"]

_MIB = 2**20


class Settings(BaseSettings):
    """Read once, when the application is built, and passed down from there; an unknown argument is refused."""

    model_config = SettingsConfigDict(env_prefix="MICROMODELS_", extra="forbid", frozen=True)

    store: str = Field(min_length=1, description="Root of the store: a local directory or s3://…")
    live_ttl_s: float = Field(default=2.0, ge=0, description="Seconds until a newly promoted generation is noticed, at most")

    keys_file: str | None = Field(default=None, min_length=1, description="API keys; without them only this machine is answered")

    jobs_address: str | None = Field(
        default=None, pattern="^https?://", description="Ray's Jobs API, http://HEAD:8265; without it no job is submitted"
    )
    jobs_recipe: str | None = Field(default=None, min_length=1, description="Recipe of jobs that name none")
    jobs_weights: str | None = Field(default=None, min_length=1, description="Starting weights of jobs that name none")
    jobs_workers: int | None = Field(default=None, gt=0, description="Processes of jobs that say no number")
    jobs_timeout_s: float = Field(default=20.0, gt=0, description="Seconds until a Jobs API that does not answer is given up")

    label_studio_url: str | None = Field(
        default=None, pattern="^https?://", description="A Label Studio whose uploads may be fetched; without it none are"
    )
    label_studio_token: SecretStr | None = Field(default=None, description="Its access token (legacy), to fetch uploads with")
    label_studio_refit_after: int | None = Field(
        default=None, gt=0, description="Newly labelled frames of a shard until it is fitted again; without it, on demand only"
    )

    max_image_bytes: int = Field(default=16 * _MIB, gt=0, description="Encoded bytes of one picture")
    max_image_pixels: int = Field(default=40_000_000, gt=0, description="Width times height of one picture")
    max_images: int = Field(default=32, gt=0, description="Pictures in one request")
    max_request_bytes: int = Field(default=64 * _MIB, gt=0, description="Body of one request, encoding included")
    max_stream_images: int = Field(default=1_000, gt=0, description="Pictures in one stream")
    max_stream_bytes: int = Field(default=512 * _MIB, gt=0, description="Body of one stream")
    stream_timeout_s: float = Field(default=600.0, gt=0, description="Seconds in which the body of a stream has to arrive")
    max_json_values: int = Field(
        default=2_000_000, gt=0, description="Values in a JSON body, each list and object one; bounds the memory of reading it"
    )
    body_timeout_s: float = Field(default=60.0, gt=0, description="Seconds in which a body has to arrive")
    max_host_pixels: int = Field(
        default=80_000_000, gt=0, description="Pixels decoded at once on one host; also the most in one request"
    )

    max_input_pixels: int = Field(
        default=8_400_000, gt=0, description="Pixels of one picture as the network sees it; bounds activations"
    )

    max_crops: int = Field(default=300, gt=0, description="Crops that a line takes of one picture, in all its stages")
    max_crop_pixels: int = Field(
        default=33_000_000, gt=0, description="Pixels of all crops of one request as the networks see them; bounds its time"
    )

    cache_mib: int = Field(default=512, gt=0, description="Weights one host keeps in memory")
    precision: Precision = Field(
        default=Precision.auto, description="Of trunks; auto: bfloat16 on processors with instructions for it, else float32"
    )
    batch_requests: int = Field(default=16, gt=0, description="Requests, of any models, answered in one bank pass at most")
    batch_wait_s: float = Field(
        default=0.005, ge=0, description="Seconds a pass waits for requests whose pictures are being decoded"
    )
    request_timeout_s: float = Field(
        default=60.0, gt=0, description="Seconds until a request that no host has answered is given up"
    )

    eye_backbone: str = Field(default="mobilenet_v2", min_length=1, description="Network that tells domains apart, as in `fit`")
    eye_weights: str = Field(default="auto", min_length=1, description="Its weights, as in `fit`")

    traces_url: str | None = Field(
        default=None,
        pattern="^https?://",
        description="Where traces of requests go, by OTLP over HTTP; without it there are none",
    )
    traces_share: float = Field(default=1.0, ge=0, le=1, description="Of requests that nobody else has begun a trace for")

    hosts: int = Field(
        default=1, ge=0, description="Host replicas; each can answer for every micro-model. 0: every ingress is a host itself"
    )
    max_hosts: int | None = Field(
        default=None,
        gt=0,
        description="As many hosts at most, as the queue asks for, and `hosts` at least; without it always `hosts`",
    )
    scale_up_after_s: float = Field(default=30.0, ge=0, description="Seconds that the queue asks for more hosts until they come")
    scale_down_after_s: float = Field(default=600.0, ge=0, description="Seconds that fewer would do until some go")
    drain_timeout_s: float = Field(
        default=60.0, ge=0, description="Seconds that a replica which has to go may take for what it was asked before"
    )
    surge_percent: int = Field(
        default=0, ge=0, le=100, description="Hosts of new code that come before old ones go; needs CPUs for both"
    )
    threads_per_host: int = Field(default=1, gt=0, description="CPUs of one host, and its torch threads")
    gpus_per_host: float = Field(
        default=0.0, ge=0, description="GPUs reserved for one host, a share is fine; it computes on one that it sees either way"
    )
    ingresses: int = Field(default=1, gt=0, description="Ingress replicas")
    cpus_per_ingress: float = Field(
        default=0.1, ge=0, description="CPUs reserved for one ingress; it waits, copies, decodes a few"
    )
    ongoing_per_ingress: int = Field(default=64, gt=0, description="Requests one ingress handles at once")
    queued_per_ingress: int = Field(
        default=256, gt=0, description="Requests that wait for an ingress, and for a host, at most; more get 503"
    )

    @model_validator(mode="after")
    def _max_hosts_are_no_fewer(self) -> Self:
        if self.max_hosts is not None and not 0 < self.hosts <= self.max_hosts:
            raise ValueError(f"max_hosts {self.max_hosts}, needed at least hosts, {self.hosts}, and those at least 1")
        return self

    @model_validator(mode="after")
    def _fits_can_be_asked_for(self) -> Self:
        if self.label_studio_refit_after is not None and self.jobs_address is None:
            raise ValueError(f"label_studio_refit_after {self.label_studio_refit_after}, needed a jobs_address to ask for fits")
        return self
