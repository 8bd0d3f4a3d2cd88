"""What has been reported to the SDK of OpenTelemetry, which keeps it in memory."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import Gauge, InMemoryMetricReader, Metric
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from pgsession import Telemetry


@dataclass
class Reported:
    """Providers, and what they were told."""

    reader: InMemoryMetricReader = field(default_factory=InMemoryMetricReader)
    exporter: InMemorySpanExporter = field(default_factory=InMemorySpanExporter)
    tracer_provider: TracerProvider = field(default_factory=TracerProvider)

    def __post_init__(self) -> None:
        self.meter_provider = MeterProvider([self.reader])
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.telemetry = Telemetry(
            meter_provider=self.meter_provider, tracer_provider=self.tracer_provider
        )
        self.tracer = self.tracer_provider.get_tracer("test")
        #: Older SDKs report what a gauge was set to only once.
        self._gauges: dict[str, Metric] = {}

    def metrics(self) -> dict[str, Metric]:
        """Return all metrics so far."""
        data = self.reader.get_metrics_data()
        scopes = (
            []
            if data is None
            else [it for each in data.resource_metrics for it in each.scope_metrics]
        )
        found = {metric.name: metric for scope in scopes for metric in scope.metrics}
        for name, metric in found.items():
            if isinstance(metric.data, Gauge) and metric.data.data_points:
                self._gauges[name] = metric
        return found | self._gauges

    def counts(self, name: str, attribute: str) -> dict[str, float]:
        """Return the sums of a counter, or the counts of a histogram, by an attribute."""
        found: dict[str, float] = {}
        for attributes, count in self.points(name):
            value = str(attributes.get(attribute, ""))
            found[value] = found.get(value, 0) + count
        return found

    def points(self, name: str) -> Iterator[tuple[Mapping[str, object], float]]:
        """Yield the attributes of each point of a metric, and its value or its count."""
        metric = self.metrics().get(name)
        for point in () if metric is None else metric.data.data_points:
            count = getattr(point, "count", None)
            value = getattr(point, "value", 0.0) if count is None else count
            yield dict(point.attributes or {}), value

    def spans(self, name: str = "") -> list[ReadableSpan]:
        """Return the spans that have ended, all or those of a name."""
        return [each for each in self.exporter.get_finished_spans() if name in ("", each.name)]

    def text(self) -> str:
        """Return all that was reported, as an exporter would write it."""
        data = self.reader.get_metrics_data()
        texts = [each.to_json() for each in self.spans()]
        return "\n".join([*texts, "" if data is None else data.to_json()])

    def end(self) -> None:
        self.meter_provider.shutdown()
        self.tracer_provider.shutdown()
