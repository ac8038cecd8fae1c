# Answers of metafor and clubSandwich for multilevel and multivariate meta-analysis.
# Rscript meta_multilevel.R writes meta_multilevel.json. Of three optimisers the highest likelihood is kept.
suppressMessages({library(metafor); library(clubSandwich); library(jsonlite)})
set.seed(20240611)

best <- function(...) {
  asked <- match.call(expand.dots = FALSE)$...
  caller <- parent.frame()
  fits <- list()
  for (control in list(list(optimizer = "nlminb", rel.tol = 1e-14, x.tol = 1e-14),
                       list(optimizer = "optim", optmethod = "BFGS", reltol = 1e-16, maxit = 2000),
                       list(optimizer = "optim", optmethod = "Nelder-Mead", reltol = 1e-16, maxit = 20000))) {
    call <- as.call(c(quote(rma.mv), asked, list(control = control)))
    found <- tryCatch(suppressWarnings(eval(call, caller)), error = function(e) NULL)
    if (!is.null(found)) fits[[length(fits) + 1]] <- found
  }
  fits[[which.max(sapply(fits, function(f) as.numeric(logLik(f))))]]
}

answers <- function(res) {
  list(b = as.vector(res$beta), se = res$se, stat = res$zval, p = res$pval, ci_low = res$ci.lb, ci_high = res$ci.ub,
       ddf = if (res$test == "t") rep_len(res$ddf, res$p) else NULL, vb = unname(res$vb), sigma2 = res$sigma2, tau2 = res$tau2, rho = res$rho,
       ll = as.numeric(logLik(res)), aic = AIC(res), bic = BIC(res), aicc = AIC(res, correct = TRUE),
       QE = res$QE, QEp = res$QEp, QM = res$QM, QMdf = res$QMdf, QMp = res$QMp)
}

prediction <- function(res, ...) {
  found <- as.data.frame(predict(res, ...))
  list(pred = found$pred, se = found$se, ci_low = found$ci.lb, ci_high = found$ci.ub, pi_low = found$pi.lb, pi_high = found$pi.ub)
}

robust_of <- function(res, cluster, joint = NULL) {
  found <- list()
  for (kind in c("CR0", "CR1", "CR1p", "CR2")) {
    V <- vcovCR(res, cluster = cluster, type = kind)
    found[[kind]] <- list(se = unname(sqrt(diag(V))))
    if (kind == "CR2") {
      test <- coef_test(res, vcov = V, test = "Satterthwaite")
      found[[kind]] <- list(se = test$SE, t = test$tstat, df = test$df_Satt, p = test$p_Satt, vcov = unname(as.matrix(V)))
      if (!is.null(joint)) {
        wald <- Wald_test(res, constraints = constrain_zero(joint), vcov = V, test = "HTZ")
        found$HTZ <- list(f = wald$Fstat, num_df = wald$df_num, den_df = wald$df_denom, p = wald$p_val)
      }
    }
  }
  found
}

table_of <- function(d) { d <- as.data.frame(d); d[] <- lapply(d, function(x) if (is.factor(x)) as.character(x) else x); as.list(d) }

out <- list(info = list(R = as.character(getRversion()), metafor = as.character(packageVersion("metafor")),
                        clubSandwich = as.character(packageVersion("clubSandwich")), metadat = as.character(packageVersion("metadat"))))

# Three levels: schools in districts.
k <- dat.konstantopoulos2011
k$year10 <- (k$year - 1990) / 10
r1 <- best(yi, vi, random = ~ 1 | district/school, data = k)
r2 <- best(yi, vi, random = ~ 1 | district/school, data = k, method = "ML")
r3 <- best(yi, vi, mods = ~ year10 + school, random = ~ 1 | district/school, data = k, test = "t", dfs = "contain")
r4 <- best(yi, vi, mods = ~ factor(year > 1990) * school, random = ~ 1 | district, data = k, test = "t")
re <- ranef(r1)
# Profiles refit with the controls of the model, and with strict ones report no convergence.
ci <- confint(rma.mv(yi, vi, random = ~ 1 | district/school, data = k), control = list(tol = 1e-10))
out$schools <- list(source = "metadat::dat.konstantopoulos2011", data = table_of(k[, c("district", "school", "yi", "vi", "year", "year10")]),
  reml = c(answers(r1), list(predict = prediction(r1), robust = robust_of(r1, k$district),
    ranef = list(district = list(est = re[[1]]$intrcpt, se = re[[1]]$se), school = list(est = re[[2]]$intrcpt, se = re[[2]]$se, label = rownames(re[[2]]))),
    hat = unname(hatvalues(r1)), weight = unname(weights(r1, type = "rowsum")),
    confint = list(unname(ci[[1]]$random), unname(ci[[2]]$random)))),
  ml = answers(r2), moderators = c(answers(r3), list(robust = robust_of(r3, k$district, 2:3), predict = prediction(r3, newmods = rbind(c(-1, 1), c(0.5, 4))))),
  two_levels = c(answers(r4), list(robust = robust_of(r4, k$district, 2:4))))

# Effects in studies with correlated sampling errors.
a <- dat.assink2016
V <- vcalc(vi, cluster = study, obs = esid, rho = 0.6, data = a)
r1 <- best(yi, vi, random = ~ 1 | study/esid, data = a)
r2 <- best(yi, V, random = ~ 1 | study/esid, data = a)
r3 <- best(yi, V, mods = ~ year + pubstatus, random = ~ 1 | study/esid, data = a, test = "t", dfs = "contain")
r4 <- best(yi, V, mods = ~ deltype, random = ~ 1 | study/esid, data = a, method = "ML")
u <- rma(yi, vi, mods = ~ year + pubstatus, data = a, method = "DL")
out$delinquency <- list(source = "metadat::dat.assink2016", data = table_of(a), V_corner = unname(V[1:6, 1:6]),
  independent = c(answers(r1), list(robust = robust_of(r1, a$study))),
  correlated = c(answers(r2), list(predict = prediction(r2), robust = robust_of(r2, a$study))),
  moderators = c(answers(r3), list(robust = robust_of(r3, a$study, 2:3))), ml = answers(r4),
  univariate = list(b = as.vector(u$beta), se = u$se, tau2 = u$tau2, robust = robust_of(u, a$study, 2:3)))

# Two outcomes of the same patients.
b <- dat.berkey1998
VV <- bldiag(lapply(split(b[, c("v1i", "v2i")], b$trial), as.matrix))
b$year80 <- b$year - 1983
fits <- list()
for (struct in c("UN", "CS", "DIAG", "ID")) for (method in c("REML", "ML")) {
  r <- best(yi, VV, mods = ~ outcome - 1, random = ~ outcome | trial, struct = struct, data = b, method = method)
  fits[[paste(struct, method)]] <- answers(r)
}
r <- best(yi, VV, mods = ~ outcome - 1, random = ~ outcome | trial, struct = "UN", data = b)
ci <- confint(rma.mv(yi, VV, mods = ~ outcome - 1, random = ~ outcome | trial, struct = "UN", data = b), control = list(tol = 1e-10))
re <- ranef(r)[[1]]
fits[["UN REML"]] <- c(fits[["UN REML"]], list(predict = prediction(r), robust = robust_of(r, b$trial, 1:2),
  ranef = list(est = re$intrcpt, se = re$se, label = rownames(re)), confint = lapply(ci[1:3], function(x) unname(x$random))))
m <- best(yi, VV, mods = ~ outcome * year80, random = ~ outcome | trial, struct = "UN", data = b, test = "t", dfs = "contain", method = "ML")
fits[["moderators"]] <- answers(m)
out$periodontal <- list(source = "metadat::dat.berkey1998", data = table_of(b), fits = fits)

# Arms of trials: an inner factor that most studies have one level of.
g <- dat.begg1989
g$one <- seq_len(nrow(g))
r <- best(yi, vi, mods = ~ trt - 1, random = ~ trt | study, struct = "CS", data = g)
r2 <- best(yi, vi, mods = ~ trt - 1, random = ~ trt | study, struct = "UN", data = g)
r3 <- best(yi, vi, mods = ~ trt, random = list(~ 1 | study, ~ 1 | one), data = g)
out$transplants <- list(source = "metadat::dat.begg1989", data = table_of(g), CS = answers(r), UN = answers(r2), two = answers(r3))

# SAT coaching: known covariances of two outcomes, not all studies with both.
s <- dat.kalaian1996
s$hours100 <- s$hrs / 100
VS <- vcalc(vi, cluster = study, type = outcome, data = s, rho = 0.66)
r <- best(yi, VS, mods = ~ outcome - 1, random = ~ outcome | study, struct = "UN", data = s, method = "ML")
r2 <- best(yi, VS, mods = ~ outcome - 1, random = ~ outcome | study, struct = "UN", data = s)
out$coaching <- list(source = "metadat::dat.kalaian1996", data = table_of(s[, c("study", "outcome", "yi", "vi")]), ml = answers(r),
  reml = c(answers(r2), list(robust = robust_of(r2, s$study, 1:2))))

# Simulated: four levels, crossed terms, full V blocks over studies of a lab.
n_lab <- 8
d <- do.call(rbind, lapply(seq_len(n_lab), function(lab) do.call(rbind, lapply(seq_len(2 + lab %% 3), function(study)
  do.call(rbind, lapply(seq_len(1 + (lab + study) %% 3), function(animal) data.frame(lab = lab, study = study, animal = animal, effect = 1:2)))))))
d$drug <- paste0("d", 1 + (seq_len(nrow(d)) * 7) %% 5)
d$x <- round(rnorm(nrow(d)), 3)
id <- function(...) as.integer(interaction(..., drop = TRUE))
d$vi <- round(runif(nrow(d), 0.02, 0.2), 4)
level2 <- id(d$lab, d$study); level3 <- id(d$lab, d$study, d$animal)
d$yi <- round(0.3 + 0.2 * d$x + rnorm(n_lab, 0, 0.4)[d$lab] + rnorm(max(level2), 0, 0.3)[level2] + rnorm(max(level3), 0, 0.2)[level3] +
  rnorm(5, 0, 0.3)[as.integer(factor(d$drug))] + rnorm(nrow(d), 0, sqrt(d$vi + 0.02)), 4)
V4 <- vcalc(vi, cluster = level2, obs = seq_len(nrow(d)), rho = 0.5, data = d)
d$row <- seq_len(nrow(d))
r1 <- best(yi, V4, mods = ~ x, random = ~ 1 | lab/study/animal, data = d, test = "t", dfs = "contain")
r2 <- best(yi, V4, mods = ~ x, random = list(~ 1 | lab, ~ 1 | drug), data = d)
r3 <- best(yi, V4, random = ~ 1 | lab/study/animal/row, data = d)
rp <- rma.mv(yi, V4, mods = ~ x, random = ~ 1 | lab/study/animal, data = d)
ci <- lapply(1:3, function(i) unname(confint(rp, sigma2 = i, control = list(tol = 1e-10))$random))
out$four_levels <- list(source = "simulated in this recipe", data = table_of(d), nested = c(answers(r1), list(confint = ci, robust = robust_of(r1, d$lab, 1:2))),
  crossed = answers(r2), five = answers(r3))

# vcalc: differences that share a group, two types of measures.
v <- data.frame(study = c(1, 1, 1, 2, 2, 2, 2, 3, 3), grp1 = c("low", "mid", "high", "a", "a", "b", "b", "x", "y"),
                grp2 = c("sal", "sal", "sal", "sal", "sal", "sal", "sal", "y", "z"), n1 = c(5, 6, 7, 8, 8, 9, 9, 4, 6), n2 = c(10, 10, 10, 12, 12, 12, 12, 6, 5),
                type = c("SW", "SW", "SW", "SW", "rho", "SW", "rho", "SW", "SW"), obs = c(1, 1, 1, 1, 1, 1, 1, 1, 1), vi = c(.2, .18, .16, .1, .12, .09, .11, .3, .25))
out$vcalc <- list(data = table_of(v),
  groups = unname(vcalc(vi, cluster = study, grp1 = grp1, grp2 = grp2, w1 = n1, w2 = n2, data = v)),
  groups_types = unname(vcalc(vi, cluster = study, type = type, grp1 = grp1, grp2 = grp2, w1 = n1, w2 = n2, rho = 0.4, data = v)),
  types = unname(vcalc(vi, cluster = study, type = type, obs = seq_len(9), rho = c(0.7, 0.3), data = v)))

write_json(out, "meta_multilevel.json", digits = NA, auto_unbox = TRUE, null = "null", na = "null")
