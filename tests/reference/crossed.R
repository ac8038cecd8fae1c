# Regenerates crossed.json: models with crossed and partly crossed groups by lme4, lmerTest and pbkrtest. Run
# in this folder: Rscript crossed.R
# "lectures" is a part of InstEval as distributed with lme4; the other sets are simulated here.
suppressMessages({library(lme4); library(lmerTest); library(pbkrtest); library(jsonlite)})
exact <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-10, maxfun = 1e5),
                     check.conv.singular = "ignore")

# One search can end in a local optimum: search three ways, and once more from the best end.
best_fit <- function(formula, data, reml) {
  models <- list(lmer(formula, data, REML = reml, weights = data$w, control = exact),
                 lmer(formula, data, REML = reml, weights = data$w, control = lmerControl(optimizer = "nloptwrap")),
                 lmer(formula, data, REML = reml, weights = data$w, control = lmerControl(optimizer = "Nelder_Mead")))
  criteria <- sapply(models, function(m) -2 * as.numeric(logLik(m)))
  theta <- getME(models[[which.min(criteria)]], "theta")
  again <- lmer(formula, data, REML = reml, weights = data$w, control = exact, start = theta)
  if (-2 * as.numeric(logLik(again)) <= criteria[1]) again else models[[1]]
}
answers <- function(formula, data, reml) {
  model <- suppressWarnings(suppressMessages(best_fit(as.formula(formula), data, reml)))
  rows <- coef(summary(model))
  found <- list(formula = formula, weighted = !is.null(data$w),
                criterion = if (reml) REMLcrit(model) else deviance(model, REML = FALSE),
                sigma = sigma(model), beta = as.list(fixef(model)), se = as.list(setNames(rows[, 2], rownames(rows))),
                satterthwaite_df = as.list(setNames(rows[, 3], rownames(rows))),
                varcorr = as.data.frame(VarCorr(model)), isSingular = isSingular(model),
                ranef = lapply(ranef(model, condVar = FALSE), function(e) list(labels = rownames(e), values = as.matrix(e))))
  if (reml && is.null(data$w)) {
    kr <- coef(summary(model, ddf = "Kenward-Roger"))
    found$kenward_roger_df <- as.list(setNames(kr[, 3], rownames(kr)))
    found$kenward_roger_se <- as.list(setNames(kr[, 2], rownames(kr)))
    tests <- as.data.frame(anova(model, ddf = "Kenward-Roger"))
    found$kenward_roger_anova <- lapply(seq_len(nrow(tests)), function(i)
      list(term = rownames(tests)[i], f = tests[i, "F value"], num_df = tests[i, "NumDF"], den_df = tests[i, "DenDF"]))
  }
  found
}
drawn <- function(codes, sd) rnorm(length(unique(codes)), 0, sd)[match(codes, unique(codes))]

# Neurons in animals, each shown most of ten stimuli at several contrasts, under a drug or not.
set.seed(20265)
neurons <- expand.grid(stimulus = sprintf("s%02d", 1:10), trial = 1:2, neuron = 1:5, animal = sprintf("a%d", 1:6),
                       stringsAsFactors = FALSE)
neurons <- neurons[runif(nrow(neurons)) < 0.8, ]
neurons$neuron <- paste0(neurons$animal, "n", neurons$neuron)
neurons$drug <- ifelse(as.integer(substr(neurons$animal, 2, 2)) %% 2 == 0, "ketamine", "a_saline")
neurons$x <- round(rnorm(nrow(neurons)), 2)
neurons$y <- round(2 + 0.3 * neurons$x + 0.2 * (neurons$drug == "ketamine") + drawn(neurons$neuron, 0.7) +
  drawn(neurons$neuron, 0.3) * neurons$x + drawn(neurons$animal, 0.4) + drawn(neurons$stimulus, 0.5) +
  drawn(neurons$stimulus, 0.2) * neurons$x + rnorm(nrow(neurons)), 3)
neurons$trial <- NULL

# Students who change teachers: partly crossed, unequal; weights.
set.seed(20266)
students <- data.frame(student = sprintf("p%02d", rep(1:70, times = sample(2:9, 70, TRUE))))
home <- as.integer(substr(students$student, 2, 3)) %% 12
students$teacher <- sprintf("t%02d", (home + rbinom(nrow(students), 3, 0.4)) %% 12)
students$hours <- round(runif(nrow(students), 0, 6), 1)
students$y <- round(60 + 1.5 * students$hours + drawn(students$student, 4) + drawn(students$teacher, 3) +
  drawn(students$teacher, 0.8) * students$hours + rnorm(nrow(students), 0, 5), 2)
weighted <- students
weighted$w <- sample(c(0.5, 1, 2, 3), nrow(weighted), TRUE)

# A factor without a variance of its own among two that have one.
set.seed(20267)
flat <- expand.grid(subject = sprintf("u%02d", 1:14), item = sprintf("i%02d", 1:9), stringsAsFactors = FALSE)
flat$list <- sprintf("l%d", (as.integer(substr(flat$subject, 2, 3)) + as.integer(substr(flat$item, 2, 3))) %% 5)
flat$cond <- c("a", "b", "c")[(as.integer(substr(flat$subject, 2, 3)) + 2 * as.integer(substr(flat$item, 2, 3))) %% 3 + 1]
e <- rnorm(nrow(flat))
flat$y <- round(drawn(flat$subject, 0.8) + drawn(flat$item, 0.5) + e - ave(e, flat$list), 3)

lectures <- subset(InstEval, as.integer(s) %% 60 == 0)
lectures <- data.frame(student = paste0("s", lectures$s), lecturer = paste0("d", lectures$d), dept = paste0("f", lectures$dept),
                       service = as.integer(lectures$service) - 1L, y = as.integer(lectures$y))
data(sleepstudy, package = "lme4")
sleep <- data.frame(Reaction = sleepstudy$Reaction, Days = sleepstudy$Days, Subject = as.character(sleepstudy$Subject))

cases <- list(
  list(name = "neurons", data = neurons, formula = "y ~ drug * x + (1 + x | neuron) + (1 | animal) + (1 + x | stimulus)"),
  list(name = "neurons_bars", data = neurons, formula = "y ~ drug + x + (1 | neuron) + (0 + x | neuron) + (1 + x || stimulus)"),
  list(name = "students", data = students, formula = "y ~ hours + (1 | student) + (1 + hours || teacher)"),
  list(name = "weighted", data = weighted, formula = "y ~ hours + (1 | student) + (1 + hours | teacher)"),
  list(name = "flat", data = flat, formula = "y ~ cond + (1 | subject) + (1 | item) + (1 | list)"),
  list(name = "lectures", data = lectures, formula = "y ~ service + (1 | student) + (1 | lecturer) + (1 | dept)"),
  list(name = "days", data = sleep, formula = "Reaction ~ Days + (1 + Days | Subject) + (1 | Days)"))
models <- list()
for (case in cases) {
  models[[case$name]] <- list(data = as.list(case$data), reml = answers(case$formula, case$data, TRUE),
                              ml = answers(case$formula, case$data, FALSE))
}
note <- list(R = R.version.string, lme4 = as.character(packageVersion("lme4")),
             lmerTest = as.character(packageVersion("lmerTest")), pbkrtest = as.character(packageVersion("pbkrtest")),
             note = "three optimisers, the lowest end searched once more with bobyqa, rhoend 1e-10; full digits")
writeLines(toJSON(list(models = models, info = note), digits = I(15), auto_unbox = TRUE, na = "null", null = "null"),
           "crossed.json")
