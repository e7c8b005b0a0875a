"""Every situation, in the order of the table's columns."""

from tests.contract import promises, situations
from tests.contract.suite import Situation

SITUATIONS: tuple[Situation, ...] = (
    situations.done_when_nothing_is_in_the_way,
    situations.nobody_there,
    situations.called_twice,
    situations.own_404,
    situations.html_404,
    situations.login_page,
    situations.false_success,
    situations.another_success,
    situations.redirected,
    situations.renewed_token,
    situations.wrong_credentials,
    situations.forbidden,
    situations.told_to_wait_in_seconds,
    situations.told_to_wait_until_a_date,
    situations.down_for_a_moment,
    situations.down_for_long,
    situations.no_connection,
    situations.hangs,
    situations.answer_lost,
    situations.answer_late,
    situations.answer_cut_off,
    promises.probed,
    promises.asked_about,
    promises.declared_as_sent,
    promises.documented,
    promises.settings_are_strict,
    promises.secrets_are_masked,
    promises.secrets_stay_in,
)
