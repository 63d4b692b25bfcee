"""Which words ask for which gesture: the table behind gestures found in a transcript.

Per meaning the words and phrases (joined by _) of four languages; a leading ^ counts only at the
start of a clause. The longest phrase wins, and `neutral` takes away what only looks like one: in
"right now" nobody agrees. The pairing follows what is known of speech-accompanying head and face
movements (McClave 2000: shakes with negation and with intensifiers, nods with affirmation, looks
aside with uncertainty; Ekman 1979: brows with emphasis and questions).
"""

from typing import NamedTuple


class Part(NamedTuple):
    """One gesture of a meaning: kind, seconds (None: the kind's own) and intensity."""

    kind: str
    duration: float | None
    intensity: float


GESTURES: dict[str, tuple[Part, ...]] = {
    "negation": (Part("shake", 1.1, 0.8),),
    "affirmation": (Part("nod", 0.9, 0.9),),
    "greeting": (Part("smile", 1.8, 0.8), Part("nod", 0.6, 0.6)),
    "thanks": (Part("smile", 1.6, 0.7), Part("nod", 0.6, 0.7)),
    "joke": (Part("wink", None, 1.0), Part("smile", 1.6, 0.7)),
    "question": (Part("brow-raise", 0.8, 0.9),),
    "uncertainty": (Part("look-away", 1.0, 1.0), Part("tilt", 1.2, 0.6)),
    "regret": (Part("frown", 1.2, 0.6), Part("tilt", 1.4, 0.7)),
    "displeasure": (Part("frown", 1.3, 0.8),),
    "joy": (Part("smile", 1.8, 0.9),),
    "address": (Part("look-at", 1.2, 1.0),),
    "asking": (Part("tilt", 1.2, 0.5),),
    "emphasis": (Part("brow-raise", 0.6, 0.7), Part("nod", 0.5, 0.5)),
}
"""What a meaning shows; earlier ones win where two want the same part of the face."""
NEGATABLE = ("affirmation", "joy", "thanks", "emphasis")
"""Meanings that a negation in the same clause takes away."""

WORDS: dict[str, dict[str, str]] = {
    "en": {
        "neutral": "right_now right_away right_here right_there right_hand turn_right the_right "
        "make_sure making_sure i_see_you",
        "negation": "no nope nah not never nothing nobody none neither nor cannot no_one no_way "
        "by_no_means not_at_all of_course_not",
        "affirmation": "yes yeah yep yup right all_right alright exactly absolutely definitely "
        "certainly indeed ^sure correct true agree agreed ^okay ^ok of_course for_sure i_see "
        "no_doubt no_problem no_question without_a_doubt why_not precisely",
        "greeting": "hello hi hey welcome good_morning good_afternoon good_evening goodbye bye "
        "nice_to_meet_you good_to_see_you see_you",
        "thanks": "thank_you thanks you're_welcome please",
        "joke": "kidding just_kidding i'm_kidding joking just_joking",
        "uncertainty": "maybe perhaps possibly probably i_think i_guess not_sure let_me_think "
        "i_don't_know i_do_not_know hmm um uh",
        "regret": "sorry unfortunately sadly regret i'm_afraid",
        "displeasure": "terrible awful horrible disgusting angry annoying wrong bad",
        "joy": "great wonderful fantastic beautiful lovely happy glad love excellent amazing "
        "congratulations not_bad",
        "address": "look listen you_see you_know",
        "asking": "^why ^how ^what ^where ^when ^who ^which",
        "emphasis": "very really extremely incredibly truly totally completely must always huge "
        "enormous so_much most_important",
    },
    "de": {
        "neutral": "nicht_nur nicht_wahr sicher_stellen so_genau",
        "negation": "nein nicht nie niemals nichts niemand kein keine keinen keiner keinem "
        "keineswegs auf_keinen_fall natürlich_nicht nö",
        "affirmation": "^ja jawohl genau richtig stimmt natürlich sicher klar gewiss einverstanden "
        "selbstverständlich wahr auf_jeden_fall kein_problem kein_zweifel keine_frage ^okay ^ok "
        "ohne_zweifel doch_ja",
        "greeting": "hallo guten_tag guten_morgen guten_abend willkommen grüß_gott servus tschüss "
        "auf_wiedersehen schön_dich_zu_sehen freut_mich",
        "thanks": "danke vielen_dank dankeschön bitte",
        "joke": "scherz nur_spaß nur_ein_scherz spaß_beiseite",
        "uncertainty": "vielleicht möglicherweise wahrscheinlich ich_glaube ich_denke "
        "ich_weiß_nicht weiß_nicht nicht_sicher mal_sehen hm hmm äh ähm",
        "regret": "leider tut_mir_leid entschuldigung bedauerlich schade",
        "displeasure": "schrecklich furchtbar schlimm ekelhaft ärgerlich wütend falsch schlecht",
        "joy": "toll wunderbar fantastisch schön herrlich glücklich liebe großartig prima super "
        "gratuliere nicht_schlecht",
        "address": "schau hör_mal sieh weißt_du sehen_sie",
        "asking": "^warum ^wieso ^weshalb ^wie ^was ^wo ^wann ^wer ^welche ^welcher ^welches",
        "emphasis": "sehr wirklich äußerst unglaublich total völlig unbedingt immer riesig absolut",
    },
    "fr": {
        "neutral": "pas_seulement à_droite",
        "negation": "non pas jamais rien aucun aucune nullement pas_du_tout bien_sûr_que_non",
        "affirmation": "oui ouais exactement absolument certainement effectivement vrai exact "
        "tout_à_fait bien_sûr d'accord sans_doute sans_aucun_doute pas_de_problème sans_problème "
        "évidemment naturellement voilà",
        "greeting": "bonjour salut bonsoir bienvenue enchanté enchantée au_revoir coucou",
        "thanks": "merci s'il_vous_plaît s'il_te_plaît de_rien",
        "joke": "je_plaisante je_rigole je_blague",
        "uncertainty": "peut-être probablement je_crois je_pense je_ne_sais_pas je_sais_pas "
        "pas_sûr pas_sûre euh hum",
        "regret": "désolé désolée malheureusement pardon hélas dommage",
        "displeasure": "terrible affreux horrible dégoûtant énervant faux mauvais",
        "joy": "génial merveilleux fantastique magnifique heureux heureuse adore super excellent "
        "formidable bravo pas_mal",
        "address": "regarde regardez écoute écoutez tu_vois vous_voyez",
        "asking": "^pourquoi ^comment ^que ^quoi ^où ^quand ^qui ^quel ^quelle",
        "emphasis": "très vraiment extrêmement incroyablement totalement complètement toujours "
        "énorme tellement",
    },
    "es": {
        "neutral": "no_solo a_la_derecha",
        "negation": "no nunca jamás nada nadie ningún ninguno ninguna tampoco claro_que_no",
        "affirmation": "sí claro exacto exactamente cierto correcto ^vale efectivamente verdad "
        "por_supuesto desde_luego sin_duda de_acuerdo claro_que_sí ningún_problema no_hay_problema "
        "no_hay_duda por_qué_no",
        "greeting": "hola buenos_días buenas_tardes buenas_noches bienvenido bienvenida adiós "
        "encantado encantada mucho_gusto",
        "thanks": "gracias muchas_gracias por_favor de_nada",
        "joke": "es_broma es_una_broma bromeo",
        "uncertainty": "quizás quizá tal_vez probablemente creo_que no_sé no_lo_sé no_estoy_seguro "
        "no_estoy_segura eh",
        "regret": "lo_siento desgraciadamente lamentablemente perdón",
        "displeasure": "terrible horrible asqueroso enfadado falso malo",
        "joy": "genial maravilloso fantástico hermoso feliz encanta excelente estupendo "
        "felicidades nada_mal",
        "address": "mira mire escucha escuche ves sabes",
        "asking": "^por_qué ^cómo ^qué ^dónde ^cuándo ^quién ^cuál",
        "emphasis": "muy realmente sumamente increíblemente totalmente completamente siempre "
        "enorme muchísimo",
    },
}
FUNCTION_WORDS: dict[str, str] = {
    "en": "the a an is are was and of to in it that this you i we they with for on my do have",
    "de": "der die das ein eine ist sind und zu im es ich du wir sie mit für auf nicht den dem war",
    "fr": "le la les un une est sont et de des du à je tu nous vous ils avec pour sur ce pas que",
    "es": "el la los las un una es son y de del a yo tú nosotros ellos con para en que por no lo",
}
"""The commonest words, by which a transcript without a language is told apart."""
