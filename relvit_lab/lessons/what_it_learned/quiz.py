"""The quiz at the end of the course: predictions of notebook 09 on all of it, one after another."""

from relvit_lab.lessons.ask.base import add_predictions

add_predictions(
    ("09-quiz-tokens", "An image of 96 x 96 pixels, patches of 16 x 16: how many tokens go through a ViT?", "37",
     "6 x 6 = 36 patches, and CLS."),
    ("09-quiz-pairs", "How many ordered pairs of these patches does SpRel ask about?", "1,296",
     "36 x 36: both orders, and each patch with itself. CLS is asked nothing."),
    ("09-quiz-opposite", "r[i, j] says RT: patch i lies at the right and above j. What does r[j, i] say?", "LB",
     "The opposite: r[j, i] = 8 - r[i, j] = 8 - 2 = 6."),
    ("09-quiz-floor",
     "On 4 x 4 patches a model gives every pair the same one of the nine answers. How many are right at most?",
     "14 %", "A diagonal answer: 6 of 16 pairs of rows times 6 of 16 pairs of columns, 36 of 256."),
    ("09-quiz-softmax", "In attention, which numbers does the softmax make sum to 1?",
     "the shares in which one token takes from all", "Row by row: for each query, over all keys."),
    ("09-quiz-symmetric", "All nine W of eq. 8 are symmetric. Which question can their scores still answer?", "how far",
     "Then S[i, j] = S[j, i]. Distances are the same both ways; sides are opposite."),
    ("09-quiz-shuffle", "Patches are shuffled, token t holds patch p[t]. What is the label of tokens t and u?",
     "r[p[t], p[u]]", "The label belongs to the patches: both indices go through p."),
    ("09-quiz-loss", "A fresh model gives nine equal scores for each pair. What is its loss in SpRel?", "2.20",
     "ln 9: cross-entropy of nine equally likely classes."),
    ("09-quiz-noise", "A model scores 100 % in SpRel, on photographs and on noise. What does it look at?",
     "its positional embeddings", "Noise holds no patch to recognise, so the answer was read off E_pos."),
    ("09-quiz-mega", "M = 4 mega-patches a side in place of 8 x 8 patches: by what factor do the pairs become fewer?",
     "16", "64 tokens become 16; pairs go with the square: 4,096 to 256."),
    ("09-quiz-apart", "A method is ahead by 0.4 points, with a 95 % interval of ± 0.5 over five seeds. What follows?",
     "no difference was shown", "The interval holds 0: more seeds could tell, these cannot."),
    ("09-quiz-worth", "What does a high score in a pretext task say about class accuracy?", "little by itself",
     "The cheat has the highest of all. What counts is measured on the classes, at the same budget."),
)  # fmt: skip
