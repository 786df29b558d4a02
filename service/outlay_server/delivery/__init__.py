"""From the outbox to receivers: webhooks, Slack, mail. Beside the calls, and never on the path of one."""

from outlay_server.delivery.forecasts import ForecastWatch
from outlay_server.delivery.mail import Mailer, MailRelay
from outlay_server.delivery.posting import Poster
from outlay_server.delivery.sending import Attempt, Message, Sender
from outlay_server.delivery.worker import DeliveryWorker, Observer

__all__ = [
    "Attempt",
    "DeliveryWorker",
    "ForecastWatch",
    "MailRelay",
    "Mailer",
    "Message",
    "Observer",
    "Poster",
    "Sender",
]
